"""Where personal data stands in a text, without a model.

Numbers are read as they are written: full width, with dashes of any kind, the long vowel mark
for a dash, spaces or brackets. A number of which many things have the form (a product, a date,
a price) counts only with its check digit, or with a word before it that says what it is.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from teichaku.curation.personal_data.labels import ANY_LABEL, KINDS, Kind
from teichaku.curation.personal_data.numbers import (
    is_card_number,
    is_corporate_number,
    is_my_number,
)


@dataclass(frozen=True, slots=True)
class Found:
    """One datum in a text: ``text[start:end]``. ``evidence`` shows its form alone: every letter
    and digit is an asterisk.
    """

    kind: Kind
    start: int
    end: int
    evidence: str


_DASH = r"[-ー]"
#: One separator inside a number: a dash, a space, or a full stop between its groups.
_GAP = r"[-ー .]"
_BEFORE = r"(?<![0-9A-Za-z])(?<![0-9][-ー./])"
_AFTER = r"(?![0-9A-Za-z]|[-ー.][0-9])"

_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9_][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.)+"
    r"[A-Za-z]{2,24}(?![A-Za-z0-9-])"
)
#: Numbers with separators; how many digits make one is looked at afterwards.
_PHONE = re.compile(
    rf"{_BEFORE}(?:\(0[0-9]{{1,4}}\)[ -]?[0-9]{{1,4}}{_GAP}?[0-9]{{4}}"
    rf"|0[0-9]{{1,4}}\([0-9]{{1,4}}\)[0-9]{{4}}"
    rf"|(?:\+81|0081){_GAP}?(?:\(0\))?{_GAP}?[1-9][0-9]{{0,3}}{_GAP}?[0-9]{{1,4}}{_GAP}?[0-9]{{4}}"
    rf"|0[0-9]{{1,4}}(?P<gap>{_GAP})[0-9]{{1,4}}(?P=gap)[0-9]{{3,4}}"
    rf"|0[5789]0[0-9]{{8}}|0[5789]0{_GAP}[0-9]{{8}}|0[0-9]{{9,10}}){_AFTER}"
)
_MOBILE = re.compile(r"0[5789]0[0-9]{8}")
_TOLL = re.compile(r"0120[0-9]{6}|0800[0-9]{7}|0570[0-9]{6}|0990[0-9]{6}")
_FIXED = re.compile(r"0[1-9][0-9]{8}")
_PREFECTURES = (
    "北海道|青森県|岩手県|宮城県|秋田県|山形県|福島県|茨城県|栃木県|群馬県|埼玉県|千葉県|東京都|神奈川県"
    "|新潟県|富山県|石川県|福井県|山梨県|長野県|岐阜県|静岡県|愛知県|三重県|滋賀県|京都府|大阪府|兵庫県"
    "|奈良県|和歌山県|鳥取県|島根県|岡山県|広島県|山口県|徳島県|香川県|愛媛県|高知県|福岡県|佐賀県|長崎県"
    "|熊本県|大分県|宮崎県|鹿児島県|沖縄県"
)
_POSTAL = re.compile(
    r"(?:[〒〶]\s?|(?:郵便番号|(?:postal|post|zip) code|邮政编码|邮编|รหัสไปรษณีย์)[^0-9\n]{0,6})"
    rf"(?P<a>[0-9]{{3}}{_DASH}?[0-9]{{4}}){_AFTER}"
    rf"|{_BEFORE}(?P<b>[0-9]{{3}}{_DASH}[0-9]{{4}})(?=\s{{0,2}}(?:{_PREFECTURES}))",
    re.IGNORECASE,
)
_TWELVE = re.compile(rf"{_BEFORE}[0-9]{{4}}[- ]?[0-9]{{4}}[- ]?[0-9]{{4}}{_AFTER}")
_THIRTEEN = re.compile(
    rf"(?<![0-9A-SU-Za-su-z])(?<![0-9][-.,])(?:[Tt]-?)?(?P<a>[0-9](?:[- ]?[0-9]{{4}}){{3}}){_AFTER}"
)
_ACCOUNT = re.compile(
    r"(?:普通|当座|貯蓄|口座|account (?:number|no\.?)|a/c(?: no\.?)?|账号|帳號|帐号|账户"
    r"|เลขที่บัญชี|เลขบัญชี)"
    r"(?:預金|貯金|口座|番号|no\.?|[\s:(\[」』、,]){0,6}(?:は|が|is|为|是)?\s?"
    rf"(?P<a>[0-9]{{6,19}}|[0-9]{{3,4}}-[0-9]{{6,8}}|[0-9]{{3}}-[0-9]-[0-9]{{5}}-[0-9])"
    rf"{_AFTER}(?!\s?(?:円|件|人|名|個|口|万|年|月|店|社|%|yen|people))",
    re.IGNORECASE,
)
_POST_BANK = re.compile(
    rf"記号[\s:]{{0,3}}(?P<a>[0-9]{{5}}(?:{_DASH}[0-9])?)[^0-9\n]{{1,8}}"
    rf"番号[\s:]{{0,3}}(?P<b>[0-9]{{2,8}}){_AFTER}"
)
_BRANCH = re.compile(
    rf"(?:銀行|信用金庫|信用組合|信金|農協)[^0-9。\n]{{0,16}}(?:支店|本店|出張所|営業部)[^0-9。\n]{{0,12}}"
    rf"(?:[(]?[0-9]{{3}}[)]?[^0-9。\n]{{1,12}})?(?P<a>[0-9]{{7}}){_AFTER}(?!\s?(?:円|件|人|名|%))"
)
_CARD = re.compile(rf"{_BEFORE}[0-9](?:[- ]?[0-9]){{12,18}}{_AFTER}")
_CARD_GROUPS = {(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (4, 4, 4, 1)}

#: What must stand close before a number, or just behind it, for it to be what it may be.
_TELLS: Mapping[str, re.Pattern[str]] = {
    "phone": re.compile(
        r"電話|でんわ|tel|携帯|fax|ファックス|ファクス|連絡先|phone|call|mobile|电话|手机|โทร", re.I
    ),
    "my_number": re.compile(r"マイナンバー|個人番号|my ?number|individual number|通知カード", re.I),
    "corporate_number": re.compile(
        r"法人番号|登録番号|インボイス|適格請求書|corporate number|invoice", re.I
    ),
    "card": re.compile(
        r"カード番号|クレジット|card (?:number|no)|visa|信用卡|卡号|หมายเลขบัตร", re.I
    ),
}
_NEAR_BEFORE, _NEAR_AFTER = 30, 12

Span = tuple[int, int]


def find_personal_data(
    text: str, kinds: Sequence[Kind] = KINDS, allow: Iterable[str] = ()
) -> list[Found]:
    """The personal data of ``kinds`` in ``text``, in order, without overlaps; names apart, which
    need a :class:`NameFinder`.

    ``allow`` holds values that are nobody's private ones (the number of a switchboard): they are
    compared without separators, width and case, and are not found.
    """
    if not any(character in "@＠﹫" or character.isdecimal() for character in text):
        return []
    plain = _plain(text)
    allowed = {bare_value(value) for value in allow}
    taken: list[tuple[Span, Kind]] = []
    for kind, look in _LOOKS:
        if kind not in kinds:
            continue
        for start, end in look(plain):
            free = all(end <= before or after <= start for (before, after), _ in taken)
            if free and bare_value(text[start:end]) not in allowed:
                taken.append(((start, end), kind))
    return [
        Found(kind, start, end, form_of(text[start:end])) for (start, end), kind in sorted(taken)
    ]


def _plain(text: str) -> str:
    """``text``, character by character in the simplest form, so that places stay; labels of our
    own, which have the very words that tell a number, are blanked.
    """
    plain = "".join(map(_simplest, text))
    return ANY_LABEL.sub(lambda match: "\ufffc" * len(match.group()), plain)


@lru_cache(maxsize=8192)
def _simplest(character: str) -> str:
    if character < "\x80":
        return character
    if character in "‐‑‒–—―−－─━":
        return "-"
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    simple = unicodedata.normalize("NFKC", character)
    # A ring or a raised figure (①, ²) is no digit of a number.
    return simple if len(simple) == 1 and not simple.isdecimal() else character


def bare_value(value: str) -> str:
    """A value as it is compared with those that are allowed: an address in lower case, a number
    as its digits alone, in the form within the country.
    """
    plain = _plain(value).casefold()
    if "@" in plain or not any(map(str.isdecimal, plain)):
        return plain.strip()
    digits = "".join(filter(str.isdecimal, plain))
    abroad = "81" if plain.strip().startswith("+81") else "0081"
    if plain.strip().startswith("+81") or digits.startswith("0081"):
        return "0" + digits.removeprefix(abroad).removeprefix("0")
    return digits


def form_of(value: str) -> str:
    """The form of a datum, with nothing left of it but separators."""
    return "".join("*" if character.isalnum() else character for character in value)


def _is_told(plain: str, span: Span, kind: str) -> bool:
    """Whether the words around a number say what it is; a line end is no border, for tables."""
    start, end = span
    near = plain[max(0, start - _NEAR_BEFORE) : start], plain[end : end + _NEAR_AFTER]
    # Half-width kana carry their marks behind them.
    return any(_TELLS[kind].search(unicodedata.normalize("NFC", piece)) for piece in near)


def _emails(plain: str) -> Iterator[Span]:
    for match in _EMAIL.finditer(plain) if "@" in plain else ():
        # git@github.com is how a program logs in.
        if not match.group().startswith("git@"):
            yield match.span()


def _phones(plain: str) -> Iterator[Span]:
    """A number in one piece is sure where it is a mobile one; ten other digits may be anything.
    One in groups is sure by its last group, which has four digits in all but toll-free numbers.
    """
    for match in _PHONE.finditer(plain):
        written, digits = match.group(), bare_value(match.group())
        is_mobile, is_toll = _MOBILE.fullmatch(digits), _TOLL.fullmatch(digits)
        if not (is_mobile or is_toll or _FIXED.fullmatch(digits)):
            continue
        if written.isdecimal():
            sure = bool(is_mobile) or _is_told(plain, match.span(), "phone")
        else:
            sure = bool(is_toll) or len(re.split(r"[^0-9]+", written)[-1]) >= 4
        if sure:
            yield match.span()


def _postal_codes(plain: str) -> Iterator[Span]:
    for match in _POSTAL.finditer(plain):
        yield match.span("a" if match["a"] else "b")


def _my_numbers(plain: str) -> Iterator[Span]:
    for match in _TWELVE.finditer(plain):
        digits = "".join(filter(str.isdigit, match.group()))
        if is_my_number(digits) and _is_told(plain, match.span(), "my_number"):
            yield match.span()


def _corporate_numbers(plain: str) -> Iterator[Span]:
    for match in _THIRTEEN.finditer(plain):
        digits = "".join(filter(str.isdigit, match["a"]))
        registered = match.group()[0] in "Tt"
        if is_corporate_number(digits) and (
            registered or _is_told(plain, match.span(), "corporate_number")
        ):
            yield match.span()


def _accounts(plain: str) -> Iterator[Span]:
    for pattern in (_ACCOUNT, _POST_BANK, _BRANCH):
        for match in pattern.finditer(plain):
            for name in match.groupdict():
                if match[name]:
                    yield match.span(name)


def _cards(plain: str) -> Iterator[Span]:
    for match in _CARD.finditer(plain):
        groups = tuple(len(group) for group in re.split(r"[- ]", match.group()))
        digits = "".join(filter(str.isdigit, match.group()))
        if not is_card_number(digits) or not (len(groups) == 1 or groups in _CARD_GROUPS):
            continue
        # Thirteen digits that begin with 4 are mostly the bar code of a Japanese product.
        if len(digits) > 13 or _is_told(plain, match.span(), "card"):
            yield match.span()


#: In this order: what is told surest takes its place first.
_LOOKS: Sequence[tuple[Kind, Callable[[str], Iterator[Span]]]] = (
    ("email", _emails),
    ("my_number", _my_numbers),
    ("corporate_number", _corporate_numbers),
    ("card", _cards),
    ("bank_account", _accounts),
    ("phone", _phones),
    ("postal_code", _postal_codes),
)
