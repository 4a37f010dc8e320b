"""Text primitives that hold for Unicode, not for English: characters are the unit everywhere.

Texts of the user are never changed by these; they make forms for comparison only.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain, pairwise

from teichaku.core.numerals import minuses

_HYPHENS, _LONG_DASHES = "‐‑‒–−－", "—―"
_DASHES = dict.fromkeys(map(ord, f"{_HYPHENS}{_LONG_DASHES}〜～~∼"), "-")
_JOINING = re.compile(rf"[{_HYPHENS}]|[{_LONG_DASHES}](?=\d)")
#: They choose one of several looks of the character before them.
_SELECTORS = dict.fromkeys(chain(range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0)))
_SAME = {**_DASHES, **_SELECTORS}
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
#: Marks that end a sentence wherever they stand, in any script.
END_MARKS = "。！？!?｡．।॥။។"
_SENTENCE_END = re.compile(
    rf"[{END_MARKS}]+(?!(?<=\d．)\d)"  # end marks, but no full-width decimal point
    r"[」』）)】”\"']*\s*"  # and the closing brackets after them
    r"|\.+[”\"')]*(?=\s|$)\s*"  # a Latin full stop, but no decimal point
    r"|\n+"
)

#: The standard library has no script property. The scripts that letters bear in their names
#: (``BENGALI LETTER A``) are taken from there; these are not, or differ by form.
_SCRIPT_RANGES: tuple[tuple[int, int, str], ...] = (
    (0x3041, 0x309F, "hiragana"),
    (0x30A1, 0x30FF, "katakana"),
    (0x31F0, 0x31FF, "katakana"),
    (0xFF66, 0xFF9F, "katakana"),
    (0x3005, 0x3007, "han"),
    (0x3400, 0x9FFF, "han"),
    (0xF900, 0xFAFF, "han"),
    (0x20000, 0x323AF, "han"),
    (0x0E00, 0x0E7F, "thai"),
    (0xFF21, 0xFF5A, "latin"),
)

#: Scripts that write words without spaces between them.
UNSPACED_SCRIPTS = frozenset({"hiragana", "katakana", "han", "thai", "lao", "khmer", "myanmar"})

#: Scripts in which a word is not part of a longer one; Korean, Hebrew and Arabic join
#: particles and articles to their words.
_WORD_SCRIPTS = frozenset({"latin", "greek", "cyrillic"})

#: The scripts of languages (ISO 639-1), by script.
_LANGUAGES = {
    "hiragana katakana han": "ja",
    "han": "zh",
    "hangul": "ko",
    "thai": "th",
    "lao": "lo",
    "khmer": "km",
    "myanmar": "my",
    "cyrillic": "ru uk be bg mk kk ky mn tg",
    "latin cyrillic": "sr bs uz",
    "greek": "el",
    "hebrew": "he yi",
    "arabic": "ar fa ur ps",
    "devanagari": "hi mr ne",
    "bengali": "bn as",
    "tamil": "ta",
    "telugu": "te",
    "gujarati": "gu",
    "kannada": "kn",
    "malayalam": "ml",
    "gurmukhi": "pa",
    "sinhala": "si",
    "georgian": "ka",
    "armenian": "hy",
    "ethiopic": "am ti",
    "latin": "en fr de es pt it nl sv da no nb nn fi is et lv lt pl cs sk sl hr ro hu sq tr az vi "
    "id ms tl sw ca eu gl ga cy mt af eo la",
}
LANGUAGE_SCRIPTS: dict[str, frozenset[str]] = {
    language: frozenset(scripts.split())
    for scripts, languages in _LANGUAGES.items()
    for language in languages.split()
}


@lru_cache(maxsize=65_536)
def script(character: str) -> str:
    """The script of a letter; ``digit``, or ``other`` for marks, punctuation and spaces."""
    code = ord(character)
    for low, high, name in _SCRIPT_RANGES:
        if low <= code <= high:
            return name
    if character.isdigit():
        return "digit"
    if not character.isalpha():
        return "other"
    return unicodedata.name(character, "unknown").partition(" ")[0].lower()


def script_shares(text: str) -> dict[str, float]:
    """Share of each script among the letters of ``text`` (digits and marks left out)."""
    counts: dict[str, int] = {}
    for character, count in Counter(unicodedata.normalize("NFKC", text)).items():
        name = script(character)
        if name not in ("digit", "other"):
            counts[name] = counts.get(name, 0) + count
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()} if total else {}


def kana(text: str) -> bool:
    """Whether ``text`` has kana: what is written in kanji alone may be Chinese."""
    return any(script(character) in ("hiragana", "katakana") for character in text)


def is_unspaced(text: str) -> bool:
    """Whether most letters of ``text`` belong to scripts without spaces between words."""
    shares = script_shares(text)
    return sum(shares.get(name, 0.0) for name in UNSPACED_SCRIPTS) >= 0.5


def normalise(text: str) -> str:
    """The form in which two texts are compared: NFKC, case-folded, one kind of dash, no variation
    selectors, numbers without thousands separators, each run of white space one space.
    """
    folded = unicodedata.normalize("NFKC", text).casefold().translate(_SAME)
    return " ".join(_THOUSANDS.sub("", folded).split())


def one_hyphen(text: str) -> str:
    """``text`` with ``-`` for all that may join the parts of a name: hyphens, minus, short dashes,
    and a long dash before a digit (``GPT—4``). Other long dashes part what is said, and ー is a
    letter. Nothing changes its place.
    """
    return _JOINING.sub("-", text)


def comparable(text: str) -> str:
    """:func:`normalise` without white space, punctuation and symbols.

    What changes the meaning of a number or a name stays: marks between digits (``1-4`` and
    ``1/4`` are not ``14``; ``10, 20`` and ``10、20`` are one list), a minus
    (:func:`~teichaku.core.numerals.minuses`, :func:`letter_minuses`), a sign of currency before a
    number (¥ becomes 円 behind it), and ``%``, ``+`` and ``#`` after a letter or digit (``C++`` is
    not ``C``). What else a symbol may tell (○ is not ×),
    :func:`symbols` tells.
    """
    return _folded(text, "")


def words_apart(text: str) -> str:
    """:func:`comparable` with a space between two words of letters that stand apart; without its
    spaces it is that.
    """
    return _folded(text, " ")


def is_signed(text: str) -> bool:
    """Whether ``text`` may have a sign that :func:`signed_words` keeps; without, that is
    :func:`words_apart`.
    """
    return _SIGNED.search(text) is not None


def signed_words(text: str) -> str:
    """:func:`words_apart` with the signs that change what they touch: what compares (``≥5``,
    ``x≠1``), ♯ and ♭, and the minus of a grade (``A-``); where :func:`is_signed`.
    """
    whole = _BULLET.sub("", unicodedata.normalize("NFKC", text).translate(_SAME))
    whole = _GRADE_MINUS.sub(_GRADED, whole.translate(_SAME_SYMBOLS))
    return _folded(_NO_SIGN.sub(" ", whole), " ", _SIGNS)


def contains(text: str, part: str) -> bool:
    """Whether ``part`` stands in ``text``, both as :func:`comparable`, and stands alone there.

    A number is not part of a longer one (8 is not in 48, 5 not in -5), and where words stand
    apart in Latin, Greek or Cyrillic letters a word is not part of a longer one (``no`` is not
    in ``know``). An empty ``part`` stands nowhere.
    """
    return stands_in(words_apart(text), words_apart(part))


def stands_in(whole: str, wanted: str) -> bool:
    """:func:`contains` of texts that :func:`words_apart` or :func:`signed_words` has read already:
    with their signs, 5 is not in ``≥5`` and A not in ``A-``.
    """
    start = whole.find(wanted) if wanted else -1
    while start >= 0:
        if _stands_alone(whole, start, start + len(wanted)):
            return True
        start = whole.find(wanted, start + 1)
    return False


_ARROWS_AND_SIGNS = "<>±÷×←-⋿⌀-⏿■-➿⤀-⥿⬀-⯿"
_EMOJI = "\U0001f1e6-\U0001f1ff\U0001f300-\U0001f3fa\U0001f400-\U0001faff"
#: The symbols that :func:`symbols` knows, as the inside of a class of a regular expression.
SYMBOLS = _ARROWS_AND_SIGNS + _EMOJI
#: Behind a Latin letter a dash that nothing follows is a sign, too: the grade A-, Rh-.
_SYMBOL = re.compile(rf"[{SYMBOLS}]|(?<=[A-Za-z])-(?=[^\w-]|\Z|です|だ)")
#: At the beginning of a line these only say that an item begins.
_BULLET = re.compile(r"^\s*[■□▪▫▶►◆◇●◦✦❖>]+", re.MULTILINE)
_TIMES = re.compile(r"(?<=\d) ?\* ?(?=\d)")
_SAME_SYMBOLS = str.maketrans("✕✖✗✘❌◯⭕✔✅☑≧≦∕∗∶", "×××××○○✓✓✓≥≤/*:")


def symbols(text: str) -> list[str]:
    """The signs, arrows and emoji of ``text`` in their order, each kind of a sign as one (◯ is ○):
    what tells texts of the same letters apart. The minus of a number is not among them.
    """
    if text.isascii() and not any(mark in text for mark in "<>*-"):
        return []
    whole = unicodedata.normalize("NFKC", text).translate(_SAME)
    if "*" in whole:
        whole = _TIMES.sub("×", whole)
    if not _SYMBOL.search(whole):
        return []
    if "▲" in whole or "△" in whole:
        signs = set(minuses(whole))
        whole = "".join(letter for place, letter in enumerate(whole) if place not in signs)
    return _SYMBOL.findall(_BULLET.sub("", whole).translate(_SAME_SYMBOLS))


def marks(text: str) -> str:
    """All that Unicode calls a symbol in ``text``, each kind of a sign as one, and ``%‰#&@``: what
    a text without letters and digits says. Punctuation says nothing.
    """
    return "".join(
        character for character in normalise(text).translate(_SAME_SYMBOLS) if _is_mark(character)
    )


def _is_mark(character: str) -> bool:
    """Also where the character is newer than the Unicode of this Python."""
    category = unicodedata.category(character)
    is_new = category == "Cn" and _SYMBOL.fullmatch(character) is not None
    return character in "%‰#&@" or category[0] == "S" or is_new


def symbol_runs(text: str) -> list[str]:
    """The :func:`marks` of ``text`` in their order, as runs of one and the same (★★★); an emoji
    with its colour or of several joined ones (👨‍👩‍👧), and a flag, are one.
    """
    whole = _TIMES.sub("×", normalise(text)).translate(_SAME_SYMBOLS)
    clusters: list[tuple[str, int, int]] = []
    for found in _CLUSTER.finditer(whole):
        if _is_mark(found[0][0]):
            clusters.append((found[0], *found.span()))
    runs: list[str] = []
    for place, (cluster, start, _) in enumerate(clusters):
        before, _, end = clusters[place - 1] if place else ("", 0, -1)
        if before == cluster and end == start:
            runs[-1] += cluster
        else:
            runs.append(cluster)
    return runs


_COLOUR = "[\U0001f3fb-\U0001f3ff]"
_CLUSTER = re.compile(
    "[\U0001f1e6-\U0001f1ff]{2}"
    rf"|[☀-❧➡{_EMOJI}]{_COLOUR}?(?:\u200d[☀-❧➡{_EMOJI}]{_COLOUR}?)*|.",
    re.DOTALL,
)
_YEN = re.compile(r"¥\s*(\d[\d.]*)")
_LIST_MARKS = dict.fromkeys(map(ord, ",;"), "、") | {ord("*"): "×"}
_SUFFIXES = "%‰+#"
#: The minus of a grade among the signs; no character of any text.
_GRADED = "\ufdd0"
#: What :func:`signed_words` keeps.
_BEFORE_NUMBERS, _BEHIND_LETTERS = "±≥≤≠<>", f"♯♭{_GRADED}"
_SIGNS = _BEFORE_NUMBERS + _BEHIND_LETTERS
_SIGNED = re.compile(
    rf"[{_BEFORE_NUMBERS}≧≦＜＞♯♭]|(?<=[A-Za-zＡ-Ｚａ-ｚ])[‐‑‒–—―−－-](?=[^\w-]|\Z|です|だ)"
)
#: Angles that do not compare: brackets, arrows, and what stands before no number.
_NO_SIGN = re.compile(r"<(?=[^<>]*>(?!=? ?-?\d))|(?<=[-=])>|[<>](?!=? ?-?\d)")
_GRADE_MINUS = re.compile(
    r"(?:(?<=(?<![A-Za-z])[A-Z])|(?<=(?<![A-Za-z])[A-Z][A-Za-z])|(?<=(?<![A-Za-z])[A-Z]{3}))"
    r"-(?=[^\w-]|\Z|です|だ)"
)
#: A letter that may have a minus behind it: one that stands alone (``x-1``) or behind its number
#: (``2x-1``, ``1e-4``), not the end of a name (``GPT-4``, ``PX-20A-3``).
_LONE_LETTER = r"[^\W\d_ぁ-ヿ㐀-鿿฀-๿가-힣]"
_LETTER_MINUS = re.compile(
    rf"(?<!{_LONE_LETTER})(?<!{_LONE_LETTER}-)(?<![\d.])[\d.]*{_LONE_LETTER}"
    r"(?P<minus>[-‐‒–−]| [-‐‒–−] )(?=\d)"
)
#: What every minus of a letter has; it is found faster.
_DASH_BEFORE_DIGIT = re.compile(r"[-‐‒–−] ?(?=\d)")
#: Letters and numbers together, all else by the character.
_PIECE = re.compile(r"[^\W_]+|[\W_]")
_COMBINING = ("Mn", "Mc", "Me")
#: A minus while marks are read; no character of any text.
_MINUS = "\uffff"


def letter_minuses(text: str) -> list[int]:
    """The places of the dashes in ``text`` (NFKC) that stand between a letter and a number and are
    no hyphens: of exponents (``1e-4``), and behind a letter that stands alone (``x-1``, ``x - 1``).
    """
    if not _DASH_BEFORE_DIGIT.search(text):
        return []
    found = (match.span("minus") for match in _LETTER_MINUS.finditer(text))
    return [start + (end - start) // 2 for start, end in found]


def _folded(text: str, word_gap: str, signs: str = "") -> str:
    """``text`` as :func:`comparable`, with ``word_gap`` between two words of letters that
    stand apart, and with its ``signs``.
    """
    kept: list[str] = []
    marks = ""
    for piece in _PIECE.findall(_YEN.sub(r"\1円", normalise(_with_minuses(text)))):
        if piece[0].isalnum() or unicodedata.category(piece) in _COMBINING or piece in signs:
            if marks:
                before = kept[-1][-1] if kept else ""
                kept.append(_meaning(before, marks, piece[0], word_gap))
                marks = ""
            kept.append(piece)
        else:
            marks += piece
    if kept:
        kept.append(_leading(marks, _SUFFIXES))
    return "".join(kept)


def _with_minuses(text: str) -> str:
    """``text`` in NFKC with another character for the minus of a number."""
    whole = unicodedata.normalize("NFKC", text.replace(_MINUS, "\ufffe"))
    if found := [*minuses(whole), *letter_minuses(whole)]:
        letters = list(whole)
        for place in found:
            letters[place] = _MINUS
        whole = "".join(letters)
    return whole


def _meaning(before: str, marks: str, after: str, word_gap: str) -> str:
    """What stays of the ``marks`` between two letters or digits."""
    if before.isdigit() and after.isdigit():
        bare = "".join(marks.replace(_MINUS, "-").split()).translate(_LIST_MARKS)
        return "、" if not bare or (bare == "." and bare != marks) else bare
    kept = _leading(marks, _SUFFIXES) if before else ""
    if after.isdigit():
        kept += "-" if _MINUS in marks[-2:] else ""
        currency = marks[-1] if unicodedata.category(marks[-1]) == "Sc" else ""
        kept += "" if currency == kept[-1:] else currency
    apart = before and script(before) in _WORD_SCRIPTS and script(after) in _WORD_SCRIPTS
    return kept or (word_gap if apart else "")


def _leading(marks: str, wanted: str) -> str:
    """The marks at the start of ``marks`` that are among ``wanted``."""
    return marks[: len(marks) - len(marks.lstrip(wanted))]


def _stands_alone(whole: str, start: int, end: int) -> bool:
    before, first, last, after = (
        whole[max(0, start - 1) : start], whole[start], whole[end - 1], whole[end : end + 1]
    )  # fmt: skip
    further = whole[max(0, start - 2) : max(0, start - 1)]
    if first.isdigit() and (
        before.isdigit()
        or (before == "." and further.isdigit())
        or (before and before in "-" + _BEFORE_NUMBERS and not further.isdigit())
    ):
        return False
    if last.isdigit() and (
        after.isdigit() or (after == "." and whole[end + 1 : end + 2].isdigit())
    ):
        return False
    if last.isalpha() and after and after in "+#" + _BEHIND_LETTERS:
        return False
    return not (_is_one_word(before, first) or _is_one_word(last, after))


def _is_one_word(left: str, right: str) -> bool:
    return bool(left and right) and {script(left), script(right)} <= _WORD_SCRIPTS


_QUESTION_ENDINGS = re.compile(
    r"(?:は何ですか|は何でしょうか|はなんですか|を教えてください|を答えてください|ですか|でしょうか|ますか|は何|は|か)$"
)


def question_key(question: str) -> str:
    """The form in which two questions are the same: comparable, without a polite ending."""
    return _QUESTION_ENDINGS.sub("", comparable(question))


def title_names(title: str) -> list[str]:
    """The names that a title holds: itself, and its parts that stand alone (a translated or a
    bracketed name beside the name). Words of one name are no names.
    """
    parts = [title]
    for piece in re.split(r"[/／()（）［］\[\]「」『』:：|｜]+", title):
        words = re.split(r"\s+", piece.strip())
        name = words[0]
        for before, word in pairwise(words):
            if script(before[-1:] or " ") in _WORD_SCRIPTS and script(word[:1]) in _WORD_SCRIPTS:
                name += f" {word}"
            else:
                parts.append(name)
                name = word
        parts.append(name)
    return list(dict.fromkeys(part for part in parts if comparable(part)))


def numbers(text: str) -> list[str]:
    """The numbers in ``text``, normalised (``１，８００`` is ``1800``, ``05`` is ``5``, ``00.5`` is
    ``0.5``).
    """
    found = (match.group() for match in _NUMBER.finditer(normalise(text)))
    return [re.sub(r"^0+(?=\d)", "", number) for number in found]


def content_terms(text: str) -> list[str]:
    """The pieces of ``text`` that carry meaning rather than grammar, normalised, in order.

    Where words stand apart: the words. In Japanese: runs of kanji, of katakana, of Latin
    letters with digits (hiragana is mostly grammar); in Chinese and Thai: runs of the script.
    Digits join the run that they touch.
    """
    terms: list[str] = []
    run, kind = "", ""
    for character in normalise(text) + " ":
        name = "katakana" if character in "ー・" and kind == "katakana" else script(character)
        is_mark = unicodedata.category(character)[0] == "M"
        if run and kind not in _NO_CONTENT and (is_mark or _joins(kind, name)):
            run += character
            kind = name if kind == "digit" and not is_mark else kind
            continue
        if run and kind not in _NO_CONTENT:
            terms.append(run)
        run, kind = character, name
    return terms


_NO_CONTENT = ("other", "hiragana")


def _joins(kind: str, name: str) -> bool:
    return name in (kind, "digit") or (kind == "digit" and name not in _NO_CONTENT)


def character_ngrams(text: str, size: int) -> set[str]:
    """The sets of ``size`` neighbouring characters of ``text``; a shorter text is one whole."""
    if len(text) <= size:
        return {text} if text else set()
    return {text[start : start + size] for start in range(len(text) - size + 1)}


def sentences(text: str) -> Iterator[str]:
    """The sentences of ``text`` with their end marks and trailing white space; joined again
    they are the text. Ends: CJK marks, Latin marks before white space, line breaks; a period
    between two digits of any script is a decimal point and no end.
    """
    start = 0
    for match in _SENTENCE_END.finditer(text):
        yield text[start : match.end()]
        start = match.end()
    if start < len(text):
        yield text[start:]


def is_language(text: str, language: str, name: str = "") -> bool:
    """Whether ``text`` can be in ``language`` (an ISO 639-1 code), by its scripts.

    ``name`` is what the text is about; it does not count, for a thing keeps its name in a
    text of any language.

    Japanese needs kana, or nothing but kanji in a text too short to need grammar; Chinese
    must be free of kana; others must be mostly in their scripts. Texts without letters
    (``1,800``) pass in every language, and every text in a language whose scripts are not known.
    """
    if name:
        text = normalise(text).replace(normalise(name), " ")
    shares = script_shares(text)
    if not shares:
        return True
    kana = shares.get("hiragana", 0.0) + shares.get("katakana", 0.0)
    if language == "ja":
        return kana > 0 or (shares.get("han", 0.0) > 0.5 and len(comparable(text)) < 12)
    if language == "zh":
        return shares.get("han", 0.0) > 0.3 and kana < 0.1
    wanted = LANGUAGE_SCRIPTS.get(language)
    return wanted is None or sum(shares.get(name, 0.0) for name in wanted) > 0.5
