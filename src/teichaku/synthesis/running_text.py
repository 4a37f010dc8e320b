"""Reading running text in a reply: what stands around it is taken off, with care.

A teacher that was asked for text alone still greets, announces what follows, echoes a heading
of the prompt or offers more help. None of that is for the student, who learns every character.
Only whole lines at the two ends are taken off, and none that the passage itself has.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from teichaku.core.asking import UnusableReplyError
from teichaku.core.records import Passage, Reply, Request
from teichaku.core.replies import without_thinking
from teichaku.core.support import PHRASE_PARTS
from teichaku.core.text import (
    UNSPACED_SCRIPTS,
    contains,
    content_terms,
    is_unspaced,
    kana,
    normalise,
    numbers,
    script,
    sentences,
)

#: A longer line says more than a greeting does.
_LONGEST_FRAME = 200
#: A shorter line can be in the prompt and in the text by chance.
_SHORTEST_ECHO = 15
#: In fewer sentences a repeated one may be a refrain.
_FEWEST_OF_A_CIRCLE = 6
#: Letters of a piece that is copied rather than named: about ten words, a quarter of a short
#: source, and never fewer than a name may have.
_COPIED_PIECE, _COPIED_PIECE_UNSPACED, _SHORTEST_COPIED_PIECE = 50, 20, 8
#: Largest share of a rewriting in such pieces. GPT-4's rewritings of 130 documents (Fictional
#: Knowledge, arXiv 2406.11813) have at most 0.21, copies by a small teacher 0.9 and more;
#: between them are lists of names, which a rewriting must keep, and conversations that quote.
_MOST_COPIED = 0.8

#: Scripts that mark the end of a phrase with a space, and of a sentence with no mark we know.
_UNMARKED_SCRIPTS = UNSPACED_SCRIPTS - {"hiragana", "katakana", "han"}

#: What only answers the one who asked.
_COURTESY = re.compile(
    r"(?:はい|ええ|もちろんです)[。！!]"
    r"|(?:はい、)?(?:承知|了解|かしこまり|わかり|分かり)(?:いた)?(?:しまし|まし)た[。！!]"
    r"|(?:sure|certainly|of course|okay|absolutely|understood)(?: thing)?[.!,]"
    r"|(?:好的|当然(?:可以)?)[，。！]",
    re.IGNORECASE,
)
_KINDS_OF_TEXT = (
    "(?:文書|文章|書き直|言い換|会話|対話|質問|説明|一覧|要約|事例|マインドマップ|まとめ|書き出し)"
)
#: What tells that the text follows: a statement about the text, or an opening with a colon.
_ANNOUNCEMENT = re.compile(
    rf"(?:では、|それでは、)?(?:以下|次|下記)(?:は|に|が|の).*{_KINDS_OF_TEXT}.*"
    r"(?:です|ます|ました)[。：:]"
    r"|(?:(?:sure|certainly|of course|okay|absolutely)[,.!]? )?"
    r"(?:here(?:'s|’s| is| are)|below (?:is|are)|the following (?:is|are))\b.*:"
    r"|(?:以下|下面)是.*[：:]",
    re.IGNORECASE,
)
#: What offers more to the one who asked, on a condition: rules say ご希望の方には, too.
_OFFER = re.compile(
    r"(?=.*(?:ご不明|ご質問|ご要望|ご希望|お気軽に|ご遠慮なく))"
    r".*(?:あれば|ありましたら|ございましたら|でしたら|(?:場合|際|とき)には|(?:場合|際|とき)は).*"
    r"(?:ください|下さい|ませ)[。！!]?"
    r"|.*お手伝い.*(?:ますか|ですか|でしょうか|ください|下さい|ませ)[。！？!?]?"
)
#: What closes a letter rather than a text: that this was it, or a statement about the text.
_FAREWELL = re.compile(
    r"以上(?:です|になります|となります)?[。！]?"
    rf"|以上が.*{_KINDS_OF_TEXT}.*(?:です|ます|ました)[。！]?"
    r"|この(?:文書|文章|書き直し|会話|説明|一覧|マインドマップ|事例研究|質問と答え)(?:で)?は.*"
    r"(?:提供|示し|まとめ|説明し|紹介し|解説し|述べ|伝え|基づ).*(?:です|ます|ました)。"
    r"|(?:please )?let me know\b.*"
    r"|(?:please )?(?:feel free|(?:do not|don't|don’t) hesitate) to (?:ask|contact|let|reach)\b.*"
    r"|if you (?:have|need|want|would like)\b.*"
    r"\b(?:let me know|feel free|(?:do not|don't|don’t) hesitate|(?:happy|glad) to help).*"
    r"|i hope (?:this|that|it) (?:helps|is helpful|was helpful|meets)\b.*"
    r"|this (?:document|text|rewrite|conversation|mind map|case study|list|summary) "
    r"(?:provides|gives|summari[sz]es|captures|covers|outlines|highlights|describes|presents|shows"
    r"|offers|keeps|conveys|explains)\b.*"
    r"|希望(?:这|以上).*帮助.*|如果.*请(?:随时)?告诉我.*",
    re.IGNORECASE,
)
#: Terms that frames are made of: one of them in the passage proves nothing.
_FRAME_TERMS = frozenset(
    content_terms(
        "以下、下記、次、以上、文書、文章、書、直、言、換、会話、対話、質問、答、回答、説明、一覧、要約、"
        "事例、研究、事例研究、マインドマップ、内容、情報、提供、示、紹介、解説、述、伝、基、不明、点、"
        "不明点、気軽、遠慮、手伝、知、聞、尋、問、合、申、付、他、何、必要、場合 "
        "a about and any anything are as ask below can contact course do document else explanation "
        "feel following for free from further have help helps here hesitate hope i if in "
        "information is it its know let like list me more need of offers on or other please "
        "question questions reach rewrite rewritten summary sure text that the these this to "
        "version want was with would written you your"
    )
)
#: Terms that an offer may have beside those: it offers nothing of what the passage is about.
_OFFER_TERMS = frozenset(
    content_terms(
        "要望、希望、相談、指示、依頼、修正、調整、変更、追加、加筆、詳細、具体的、別、形式、下、沿、直"
    )
)
#: Neighbouring letters of what Chinese frames say, whose terms are whole phrases.
_FRAME_PARTS = frozenset(
    phrase[start : start + 2]
    for phrase in (
        "以下是下面是改写后的文章内容版本文本文档总结对话问答问题和回答说明列表",
        "希望这希望以上内容对您有帮助对你有所帮助",
        "如果您还有其他问题如果你有任何问题如果需要进一步的修改或者帮助请随时告诉我",
    )
    for start in range(len(phrase) - 1)
)
_FENCE = re.compile(r"\s*(?:```|~~~)\w*\s*")


def running_text(reply: Reply, at_least: int = 10, shown: str | None = None) -> str:
    """The running text of a reply about a passage, or about ``shown`` where the prompt had that
    in its place.

    Thinking, code fences around the whole and phrases for the one who asked are taken off. A
    reply that ran into the token limit ends with its last whole sentence. Raises
    :class:`UnusableReplyError` where fewer than ``at_least`` words are left (by
    :func:`word_count`; fewer than the passage has where that is shorter), where the text is the
    passage itself, repeats the instructions, or goes round in circles: most of its sentences
    stand in it before.
    """
    unit: Passage = reply.request.subject.unit
    passage = unit if shown is None else replace(unit, text=shown)
    prompt = _own_lines(reply.request, passage)
    lines = _without_frame(without_thinking(reply.text).split("\n"), passage, prompt)
    if any(line.strip() in prompt and _is_long(line) for line in lines):
        raise UnusableReplyError("the text repeats the instructions.")
    text = "\n".join(lines).strip()
    if reply.finish_reason == "length":
        text = whole_sentences(text)
    found = word_count(text)
    wanted = max(1, min(at_least, word_count(passage.text)))
    if found < wanted:
        raise UnusableReplyError(
            "the text has {found} words (two characters count as one where words are not "
            "spaced), and at least {wanted} are needed.",
            found=found,
            wanted=wanted,
        )
    if _letters(text) in map(_source_letters, (passage.text, passage.title + passage.text)):
        raise UnusableReplyError("the text is the document itself, without any change.")
    # A title may have an end mark in it, and be all that a "sentence" says.
    untitled = text.replace(passage.title, "") if passage.title else text
    said = list(filter(None, map(_letters, sentences(untitled))))
    if len(said) >= _FEWEST_OF_A_CIRCLE and 2 * len(set(said)) < len(said):
        raise UnusableReplyError("the text says the same sentences again and again.")
    return text


def rewritten_text(reply: Reply, at_least: int = 10, shown: str | None = None) -> str:
    """As :func:`running_text`, for a text in other words: raises :class:`UnusableReplyError`
    too where more than four fifths of it are copied from the passage in long pieces.
    """
    text = running_text(reply, at_least, shown)
    share = copied_share(text, reply.request.subject.unit.text if shown is None else shown)
    if share > _MOST_COPIED:
        raise UnusableReplyError(
            "{share} of the text is copied from the document.", share=f"{share:.0%}"
        )
    return text


def copied_share(text: str, source: str) -> float:
    """Share of the letters of ``text`` in pieces that stand in ``source`` too, of at least 50
    letters (20 where words are not spaced; a quarter of a shorter source, but 8). Names, terms
    and figures are shorter than that.
    """
    said, whole = _letters(text), _source_letters(source)
    piece = _COPIED_PIECE_UNSPACED if is_unspaced(text) else _COPIED_PIECE
    size = min(max(_SHORTEST_COPIED_PIECE, min(piece, len(whole) // 4)), len(whole))
    if not size or not said:
        return 0.0
    known = _pieces(whole, size)
    copied = end = 0
    for start in range(len(said) - size + 1):
        if said[start : start + size] in known:
            copied += start + size - max(start, end)
            end = start + size
    return copied / len(said)


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
    that stays behind. In scripts without sentence marks (Thai) it ends at its last space.
    """
    *kept, last = list(sentences(text)) or [""]
    if any(script(character) in _UNMARKED_SCRIPTS for character in last):
        kept.append("".join(re.split(r"(\s)", last.rstrip())[:-1]))
    while kept and not any(map(str.isalpha, kept[-1])):
        kept.pop()
    return "".join(kept).rstrip()


def _letters(text: str) -> str:
    """What two texts that are copies have in common; ``comparable`` takes ten times as long."""
    return "".join(filter(str.isalnum, normalise(text)))


# Hundreds of replies come one after another about one document.
_source_letters = lru_cache(maxsize=16)(_letters)


@lru_cache(maxsize=4)
def _pieces(whole: str, size: int) -> frozenset[str]:
    """All pieces of ``size`` letters that ``whole`` has."""
    return frozenset(whole[start : start + size] for start in range(len(whole) - size + 1))


def _own_lines(request: Request, passage: Passage) -> set[str]:
    """The lines of the prompt that are not of the passage."""
    asked = [message.content for message in request.messages if message.role != "assistant"]
    lines = {line.strip() for content in asked for line in content.split("\n")}
    return lines - {line.strip() for line in passage.text.split("\n")}


def _without_frame(lines: list[str], passage: Passage, prompt: set[str]) -> list[str]:
    """``lines`` without those at their ends that are not of the text."""
    first, last = 0, len(lines)
    while first < last and (
        _is_bare(lines[first])
        or (last - first > 1 and _is_preamble(lines[first].strip(), passage, prompt))
    ):
        first += 1
    while first < last and (
        _is_bare(lines[last - 1])
        or (last - first > 1 and _is_frame(lines[last - 1].strip(), passage, _FAREWELL, _OFFER))
    ):
        last -= 1
    return lines[first:last]


def _is_long(line: str) -> bool:
    return len(_letters(line)) >= _SHORTEST_ECHO


def _is_bare(line: str) -> bool:
    """Whether a line is a fence, or has nothing to read in it."""
    return bool(_FENCE.fullmatch(line)) or not any(map(str.isalnum, line))


def _is_preamble(line: str, passage: Passage, prompt: set[str]) -> bool:
    return line in prompt or _is_frame(line, passage, _COURTESY, _ANNOUNCEMENT)


def _is_frame(line: str, passage: Passage, *kinds: re.Pattern[str]) -> bool:
    """Whether a line has nothing but sentences of ``kinds``, and nothing of the passage."""
    is_frame = len(line) <= _LONGEST_FRAME and all(
        any(_is_of(kind, part.strip(), passage) for kind in kinds) for part in sentences(line)
    )
    return is_frame and not _tells(line, passage)


def _is_of(kind: re.Pattern[str], part: str, passage: Passage) -> bool:
    if not kind.fullmatch(part):
        return False
    return kind is not _OFFER or all(
        term in _FRAME_TERMS or term in _OFFER_TERMS or contains(passage.title, term)
        for term in content_terms(part)
    )


def _tells(line: str, passage: Passage) -> bool:
    """Whether a line is the passage's, or has a number or a term of it, but for its title."""
    figures = set(numbers(passage.text)) - set(numbers(passage.title))
    if contains(passage.text, line) or not figures.isdisjoint(numbers(line)):
        return True
    terms = set(content_terms(passage.text))
    return any(
        # A single character is in many terms by chance.
        (term in terms if len(term) == 1 else contains(passage.text, term))
        and not contains(passage.title, term)
        for term in _line_terms(line)
    )


def _line_terms(line: str) -> Iterator[str]:
    """The terms of ``line`` but those of frames; parts of them where a term is a whole phrase."""
    is_phrase = not kana(line)
    for term in content_terms(line):
        size = PHRASE_PARTS.get(script(term[-1]), 0) if is_phrase else 0
        if term in _FRAME_TERMS:
            continue
        if not size or len(term) <= size:
            yield term
            continue
        parts = (term[start : start + size] for start in range(len(term) - size + 1))
        yield from (part for part in parts if part not in _FRAME_PARTS)
