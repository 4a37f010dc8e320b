"""Finding out, by content, in which encoding a text file is written.

The order goes from the certain to the likely: byte order marks, the escape sequences of
ISO-2022-JP, strict UTF-8, UTF-16 without a mark, a multi-byte encoding that the file declares,
CP932 against EUC-JP by kana, other declared encodings, and charset-normalizer for the rest.
"""

import codecs
import re
import unicodedata

from teichaku.documents.content import LoadingError

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it starts with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_JIS_ESCAPE = re.compile(rb"\x1b(?:\$[@B]|\([IJ]|\$\([DOPQ])")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f]")
_CONTROL_BYTE = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")

#: Encodings as files name them -> the wider code that real files are in: Windows adds marks
#: such as ㈲ and ～ to Shift_JIS, GB 18030 contains GB 2312, and so on (WHATWG Encoding).
_WIDER = {
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso8859-1": "cp1252",
    "ascii": "cp1252",
    "tis-620": "cp874",
    "iso8859-11": "cp874",
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "ms_kanji": "cp932",
    "x-euc-jp": "euc_jp",
    "x-gbk": "gb18030",
    "ks_c_5601-1987": "cp949",
}
_MULTI_BYTE = frozenset(
    {"cp932", "euc_jp", "euc_jis_2004", "cp949", "gb18030", "big5", "big5hkscs", "cp950"}
)
_JAPANESE = ("cp932", "euc_jp", "euc_jis_2004")  # the last one holds ① and ㈱ too
#: What is left for charset-normalizer; without the codes of old mainframes and Macintoshes,
#: which fit anything and which short texts would otherwise come out in.
_OTHERS = (
    *("cp1252", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257"),
    *("cp1258", "cp874", "gb18030", "big5", "cp949", "cp932", "euc_jp"),
)

#: Kana in at least one of ten letters is Japanese; less may be a misreading.
_KANA_SHARE = 0.1
#: Text holds a stray control character or two; of compressed data they are a tenth.
_FEW_CONTROLS, _CONTROL_SHARE = 2, 0.05
#: A file with more damage than this is not in the encoding at all.
_DAMAGE_SHARE = 0.02

_HINT = "Save it as UTF-8 text, then run again."


def decode(data: bytes, declared: str = "") -> tuple[str, str]:
    """The text in ``data`` and the name of its encoding, as Python names it.

    ``declared`` is what the file says of itself (the charset of an HTML page); it is believed
    where it fits. Raises ``LoadingError`` with reason ``undecodable`` where the data is
    binary or damaged.
    """
    for find in (_by_mark, _by_escapes, _by_utf8, _by_utf16):
        found = find(data)
        if found:
            return found
    _refuse_binary(data)
    encoding = _known_name(declared)
    found = (
        (_as_declared(data, encoding) if encoding in _MULTI_BYTE else None)
        or _by_kana(data)
        or _as_declared(data, encoding)
        or _by_kanji(data)
    )
    if found:
        return found
    _refuse_damaged(data)
    found = _by_statistics(data)
    if found:
        return found
    raise LoadingError("undecodable", "Its character encoding could not be found out.", _HINT)


def _known_name(declared: str) -> str:
    """The Python name of a declared encoding, widened; empty where there is no such one."""
    lowered = declared.strip().lower()
    try:
        name = codecs.lookup(_WIDER.get(lowered, lowered)).name if lowered else ""
    except LookupError:
        return ""
    return _WIDER.get(name, name)


def _strictly(data: bytes, encoding: str) -> tuple[str, str] | None:
    """The text where every byte fits."""
    try:
        return data.decode(encoding), encoding
    except (UnicodeDecodeError, LookupError):  # LookupError: codecs that do not make text
        return None


def _as_declared(data: bytes, encoding: str) -> tuple[str, str] | None:
    found = _strictly(data, encoding) if encoding else None
    # Half-width katakana throughout are what EUC-JP looks like when it is read as CP932.
    return found if found and _halfwidth_share(found[0]) <= 0.5 else None


def _by_mark(data: bytes) -> tuple[str, str] | None:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            try:
                return data.decode(encoding).removeprefix("\ufeff"), encoding
            except UnicodeDecodeError as error:
                raise _damaged(data, encoding) from error
    return None


def _by_escapes(data: bytes) -> tuple[str, str] | None:
    if not _JIS_ESCAPE.search(data) or max(data) >= 0x80:
        return None
    for encoding in ("iso2022_jp", "iso2022_jp_ext", "iso2022_jp_2004", "iso2022_jp_3"):
        try:
            return data.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    return None


def _by_utf8(data: bytes) -> tuple[str, str] | None:
    """UTF-8, unless it is UTF-16 in which each byte fits: letters of alphabets, or kana."""
    found = _strictly(data, "utf-8")
    other = _by_utf16(data) if found else None
    if other:
        letters = sum(character < "\u1000" for character in other[0])
        if letters > len(other[0]) / 2 or _kana_share(other[0]) >= _KANA_SHARE:
            return other
    if found:
        _refuse_binary(data)
    return found


def _by_utf16(data: bytes) -> tuple[str, str] | None:
    """UTF-16 without a mark: line ends, ASCII and 、。 make control bytes, as no other
    encoding of text does.
    """
    if len(data) % 2 or not _CONTROL_BYTE.search(data):
        return None
    # The bytes that name the block of a character repeat more than those that name it.
    order = ("utf-16-le", "utf-16-be")
    if _concentration(data[0::2]) > _concentration(data[1::2]):
        order = ("utf-16-be", "utf-16-le")
    for encoding in order:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if not _CONTROL.search(text) and _assigned_share(text) > 0.98:
            return text, encoding
    return None


def _concentration(data: bytes) -> int:
    return sum(data.count(value) ** 2 for value in set(data))


def _assigned_share(text: str) -> float:
    unassigned = sum(unicodedata.category(character) in ("Cn", "Co") for character in text)
    return 1 - unassigned / max(1, len(text))


def _refuse_binary(data: bytes) -> None:
    if len(_CONTROL_BYTE.findall(data)) > max(_FEW_CONTROLS, len(data) * _CONTROL_SHARE):
        raise LoadingError("undecodable", "It is not text but binary data.", _HINT)


def _by_kana(data: bytes) -> tuple[str, str] | None:
    """Japanese, where one of its encodings reads without fault and gives kana."""
    readings = [found for name in _JAPANESE if (found := _strictly(data, name))]
    best = max(readings, key=lambda found: _kana_share(found[0]), default=None)
    return best if best and _kana_share(best[0]) >= _KANA_SHARE else None


def read_japanese(data: bytes) -> str:
    """The text where ``data``, a few words, is UTF-8 or else surely Japanese; empty elsewhere."""
    found = _strictly(data, "utf-8") or _by_kana(data) or _by_kanji(data)
    return found[0] if found and _halfwidth_share(found[0]) <= 0.5 else ""


def _by_kanji(data: bytes) -> tuple[str, str] | None:
    """CP932 without full-width kana: addresses, names, or the half-width katakana of banks.

    Only where no other East Asian code reads the data, and where the wide characters stand
    together: accented letters read as CP932 give single kanji between Latin letters.
    """
    found = _strictly(data, "cp932")
    if not found or any(_strictly(data, name) for name in ("gb2312", "euc_kr", "big5")):
        return None
    wide = re.findall(r"[^\x00-\x7f]+", found[0])
    together = sum(len(run) for run in wide if len(run) > 1)
    return found if together > 0.8 * sum(map(len, wide)) else None


def _kana_share(text: str) -> float:
    """Share of full-width kana among the characters beyond ASCII."""
    wide = [character for character in text if character > "\x7f"]
    kana = sum("\u3041" <= character <= "\u30fe" for character in wide)
    return kana / len(wide) if wide else 0.0


def _halfwidth_share(text: str) -> float:
    wide = [character for character in text if character > "\x7f"]
    halfwidth = sum("\uff61" <= character <= "\uff9f" for character in wide)
    return halfwidth / len(wide) if wide else 0.0


def _refuse_damaged(data: bytes) -> None:
    """Raise where the data is in a known encoding but for a few damaged bytes: another
    encoding would fit all of it and turn the whole text into rubbish.
    """
    for encoding in ("utf-8", "cp932", "euc_jp"):
        text = data.decode(encoding, "replace")
        wide = sum(character > "\x7f" for character in text)
        if text.count("\ufffd") > wide * _DAMAGE_SHARE:
            continue
        if encoding == "utf-8" or _kana_share(text) >= _KANA_SHARE:
            raise _damaged(data, encoding)


def _damaged(data: bytes, encoding: str) -> LoadingError:
    position = 0
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        position = error.start
    line = data.count(b"\n", 0, position) + 1
    return LoadingError(
        "undecodable",
        f"It is {encoding} text with damaged bytes, the first at byte {position} (line {line}).",
        "Mend that place or get the file again; damaged text would teach damaged facts.",
    )


def _by_statistics(data: bytes) -> tuple[str, str] | None:
    from charset_normalizer import from_bytes

    best = from_bytes(data, cp_isolation=list(_OTHERS)).best()
    if best is None or _CONTROL.search(str(best)):
        return None
    name = _WIDER.get(best.encoding, best.encoding)
    return _strictly(data, name) or (str(best), best.encoding)
