"""Reading running text in a reply: what stands around it is taken off, with care.

A teacher that was asked for text alone still greets, announces what follows, echoes a heading
of the prompt or offers more help. None of that is for the student, who learns every character.
Only whole lines at the two ends are taken off, and none that the passage itself has.
"""

import re

from teichaku.core.asking import UnusableReplyError
from teichaku.core.records import Passage, Reply, Request
from teichaku.core.replies import without_thinking
from teichaku.core.text import UNSPACED_SCRIPTS, contains, normalise, script, sentences

#: A longer line says more than a greeting does.
_LONGEST_FRAME = 200
#: A shorter line can be in the prompt and in the text by chance.
_SHORTEST_ECHO = 15
#: In fewer sentences a repeated one may be a refrain.
_FEWEST_OF_A_CIRCLE = 6

#: What only answers the one who asked.
_COURTESY = re.compile(
    r"(?:はい|ええ|もちろんです)[。！!]"
    r"|(?:はい、)?(?:承知|了解|かしこまり|わかり|分かり)(?:いた)?(?:しまし|まし)た[。！!]"
    r"|(?:sure|certainly|of course|okay|absolutely|understood)(?: thing)?[.!,]"
    r"|(?:好的|当然(?:可以)?)[，。！]",
    re.IGNORECASE,
)
#: What tells that the text follows: a statement about the text, or an opening with a colon.
_ANNOUNCEMENT = re.compile(
    r"(?:では、|それでは、)?(?:以下|次|下記)(?:は|に|が|の).*"
    r"(?:文書|文章|書き直|言い換|会話|対話|質問|説明|一覧|要約|事例|マインドマップ|まとめ|書き出し).*"
    r"(?:です|ます|ました)[。：:]"
    r"|(?:(?:sure|certainly|of course|okay|absolutely)[,.!]? )?"
    r"(?:here(?:'s|’s| is| are)|below (?:is|are)|the following (?:is|are))\b.*:"
    r"|(?:以下|下面)是.*[：:]",
    re.IGNORECASE,
)
#: What closes a letter rather than a text.
_FAREWELL = re.compile(
    r"以上(?:です|が.*(?:です|ます|になります))?[。！]?"
    r"|(?:他|ほか|何か|ご不明|ご質問).*(?:ください|お知らせ).*"
    r"|(?:please )?(?:let me know|feel free|i hope (?:this|that)|if you (?:have|need|would)).*"
    r"|この(?:文書|文章|書き直し|会話|説明|一覧|マインドマップ|事例研究|質問と答え)(?:で)?は.*(?:です|ます)。"
    r"|this (?:document|text|rewrite|conversation|mind map|case study|list|version) .*"
    r"|希望(?:这|以上).*帮助.*|如果.*请(?:随时)?告诉我.*",
    re.IGNORECASE,
)
_FENCE = re.compile(r"\s*(?:```|~~~)\w*\s*")


def running_text(reply: Reply, at_least: int = 10) -> str:
    """The running text of a reply about a passage.

    Thinking, code fences around the whole and phrases for the one who asked are taken off. A
    reply that ran into the token limit ends with its last whole sentence. Raises
    :class:`UnusableReplyError` where fewer than ``at_least`` words are left (by
    :func:`word_count`; fewer than the passage has where that is shorter), where the text is the
    passage itself, repeats the instructions, or goes round in circles: most of its sentences
    stand in it before.
    """
    passage: Passage = reply.request.subject.unit
    prompt = _own_lines(reply.request, passage)
    lines = _without_frame(without_thinking(reply.text).split("\n"), passage.text, prompt)
    if any(line.strip() in prompt and _is_long(line) for line in lines):
        raise UnusableReplyError("the text repeats the instructions.")
    text = "\n".join(lines).strip()
    if reply.finish_reason == "length":
        text = whole_sentences(text)
    found = word_count(text)
    wanted = max(1, min(at_least, word_count(passage.text)))
    if found < wanted:
        raise UnusableReplyError(
            f"the text has {found} words (two characters count as one where words are not "
            f"spaced), and at least {wanted} are needed."
        )
    if _letters(text) in (_letters(passage.text), _letters(passage.title + passage.text)):
        raise UnusableReplyError("the text is the document itself, without any change.")
    said = list(filter(None, map(_letters, sentences(text))))
    if len(said) >= _FEWEST_OF_A_CIRCLE and 2 * len(set(said)) < len(said):
        raise UnusableReplyError("the text says the same sentences again and again.")
    return text


def word_count(text: str) -> int:
    """The number of words; in scripts without spaces two letters count as one word, so that 30
    words are about 60 Japanese characters.
    """
    words = letters = 0
    inside = False
    for character in text:
        if script(character) in UNSPACED_SCRIPTS:
            letters += 1
            inside = False
        elif character.isspace():
            inside = False
        elif character.isalnum() and not inside:
            words += 1
            inside = True
    return words + (letters + 1) // 2


def whole_sentences(text: str) -> str:
    """``text``, which was cut off, without its last sentence, and without the mark of a list
    that stays behind.
    """
    kept = list(sentences(text))[:-1]
    while kept and not any(map(str.isalpha, kept[-1])):
        kept.pop()
    return "".join(kept).rstrip()


def _letters(text: str) -> str:
    """What two texts that are copies have in common; ``comparable`` takes ten times as long."""
    return "".join(filter(str.isalnum, normalise(text)))


def _own_lines(request: Request, passage: Passage) -> set[str]:
    """The lines of the prompt that are not of the passage."""
    asked = [message.content for message in request.messages if message.role != "assistant"]
    lines = {line.strip() for content in asked for line in content.split("\n")}
    return lines - {line.strip() for line in passage.text.split("\n")}


def _without_frame(lines: list[str], passage: str, prompt: set[str]) -> list[str]:
    """``lines`` without those at their ends that are not of the text."""
    first, last = 0, len(lines)
    while first < last and (
        _is_bare(lines[first])
        or (last - first > 1 and _is_preamble(lines[first].strip(), passage, prompt))
    ):
        first += 1
    while first < last and (
        _is_bare(lines[last - 1])
        or (last - first > 1 and _is_farewell(lines[last - 1].strip(), passage))
    ):
        last -= 1
    return lines[first:last]


def _is_long(line: str) -> bool:
    return len(_letters(line)) >= _SHORTEST_ECHO


def _is_bare(line: str) -> bool:
    """Whether a line is a fence, or has nothing to read in it."""
    return bool(_FENCE.fullmatch(line)) or not any(map(str.isalnum, line))


def _is_preamble(line: str, passage: str, prompt: set[str]) -> bool:
    if line in prompt:
        return True
    is_frame = len(line) <= _LONGEST_FRAME and all(
        _COURTESY.fullmatch(part.strip()) or _ANNOUNCEMENT.fullmatch(part.strip())
        for part in sentences(line)
    )
    return is_frame and not contains(passage, line)


def _is_farewell(line: str, passage: str) -> bool:
    is_short = len(line) <= _LONGEST_FRAME
    return is_short and bool(_FAREWELL.fullmatch(line)) and not contains(passage, line)
