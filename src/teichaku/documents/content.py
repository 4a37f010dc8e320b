"""What every reader of a file format gives back, and how text is cleaned."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Protocol

from teichaku.core.errors import UserError
from teichaku.core.text import UNSPACED_SCRIPTS, contains, script

#: What parsers are seen to raise for broken files beside the errors that they announce.
PARSER_ERRORS = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError),
    *(TypeError, ValueError),
)
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_LINE_END = re.compile(r"\r\n?|\u2028|\u2029|\x85")
#: White space such as the form feed is none of them: it parts words.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x9f\ufeff]")
_URL = re.compile(r"https?://\S+")

#: Titles that programs write by themselves and that say nothing about the document.
_PLACEHOLDER_TITLE = re.compile(
    r"(microsoft (word|powerpoint|excel) - .*|untitled.*|無題.*|名称未設定.*"
    r"|title|タイトル|表題|document ?\d*|文書 ?\d*|word 文書|slide ?\d*|presentation ?\d*"
    r"|powerpoint (presentation|プレゼンテーション)"
    r"|.*\.(docx?|pdf|xlsx?|pptx?|rtf|txt|tex|dvi|indd|jtd|html?))",
    re.IGNORECASE,
)


#: What stands for the author where a program or an account wrote the properties of a file.
_NO_AUTHOR = re.compile(
    r"(admin(istrator)?|anonymous|author|default|guest|me|owner|pc|root|test|unknown|user"
    r"|user ?name|webmaster|(microsoft )?office( user)?|windows ?(user|ユーザー)"
    r"|microsoft( (account|アカウント|word))?|(libre|open)office.*|python-docx|apache (poi|fop)"
    r"|著者|作成者|作者|所有者|管理者|利用者|ユーザー|ゲスト|名無し|不明"
    r"|[^\s\\]+\\[^\s\\]+|[a-z]{0,12}[0-9]{2,})",
    re.IGNORECASE,
)
#: Between the lines that hold several names.
_COMMA = ", "

#: Words of file names that name no matter.
_FILE_WORDS = frozenset(
    ["chapter", "ch", "copy", "doc", "document", "draft", "dsc", "file", "final", "fix", "img",
     "image", "new", "old", "page", "part", "rev", "scan", "text", "tmp", "ver", "version",
     "第", "章", "頁", "版", "最終", "最終版", "確定版", "修正版", "改訂版", "初版", "コピー"]
)  # fmt: skip


class LoadingError(UserError):
    """A file or a row that cannot be used.

    ``reason`` is the machine-readable word for :attr:`Dropped.reason`; ``message`` says what is
    wrong and ``hint`` what to do. ``row`` is the row or line, from 1, where it is one of many.
    """

    def __init__(self, reason: str, message: str, hint: str, row: int | None = None) -> None:
        super().__init__(message, hint)
        self.reason = reason
        self.row = row


@dataclass(frozen=True, slots=True)
class Content:
    """One text out of a file. ``source`` is set where the file itself names its origin,
    ``attribution`` where it says whom to name; ``row`` is its row, line or article in the file,
    from 1, where the file holds several.
    """

    text: str
    title: str = ""
    source: str = ""
    licence: str = ""
    date: str = ""
    format: str = ""
    encoding: str = ""
    row: int | None = None
    attribution: str = ""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of tables, or keys of JSON objects, hold what.

    Empty: ``text`` is all cells as ``column: value`` lines, ``title`` and ``attribution`` are
    guessed from common names, the others stay empty. Dots reach into nested objects
    (``meta.url``) and through lists (``paragraphs.context``).
    """

    text: tuple[str, ...] = ()
    title: str = ""
    source: str = ""
    licence: str = ""
    date: str = ""
    attribution: str = ""

    def named(self) -> list[str]:
        """All names that are set."""
        others = (self.title, self.source, self.licence, self.date, self.attribution)
        return [name for name in (*self.text, *others) if name]


class Reader(Protocol):
    """Reads the bytes of one file. ``name`` is the file's name, for titles and formats.

    A file of several texts yields a ``LoadingError`` for each one that is bad and goes on;
    a file that is bad as a whole raises it.
    """

    def __call__(
        self, data: bytes, name: str, columns: Columns
    ) -> Iterator[Content | LoadingError]:
        """The texts in ``data``."""
        ...


def clean(text: str) -> str:
    r"""``text`` with ``\n`` line ends, without trailing spaces, outer blank lines, control
    characters and byte order marks, and with U+FFFD for lone surrogates, which no file could
    hold.
    """
    text = _CONTROL.sub(_meant, _SURROGATE.sub("\ufffd", _LINE_END.sub("\n", text)))
    return "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")


def _meant(control: re.Match[str]) -> str:
    """The ``’`` and other marks of Windows that a program took for Latin-1, else nothing."""
    code = ord(control.group())
    return bytes([code]).decode("cp1252", "ignore") if 0x80 <= code < 0xA0 else ""


def is_wide(character: str) -> bool:
    """Whether a character is of East Asian width and of a script without spaces: no Hangul."""
    is_east_asian = unicodedata.east_asian_width(character) in "WFH"
    return is_east_asian and "HANGUL" not in unicodedata.name(character, "")


def writes_without_spaces(character: str) -> bool:
    """Whether no space stands between the words of the script of ``character``."""
    return is_wide(character) or script(character) in UNSPACED_SCRIPTS


def clean_line(text: str) -> str:
    """``text`` as one line without outer spaces, for titles and other short values.

    A line break becomes a space, or nothing where both sides write without spaces.
    """
    line = ""
    for part in filter(None, (part.strip() for part in clean(text).split("\n"))):
        line += (glue(line[-1], part[0]) if line else "") + part
    return line


def glue(before: str, after: str) -> str:
    """What a line break between two characters stands for: a space, or nothing."""
    return "" if writes_without_spaces(before) and writes_without_spaces(after) else " "


def is_placeholder(title: str) -> bool:
    """Whether ``title`` is empty or one that a program wrote by itself."""
    return not title.strip() or _PLACEHOLDER_TITLE.fullmatch(title.strip()) is not None


def author(value: str) -> str:
    """The author that the properties of a file name; empty where they name a program or an
    account of a computer.
    """
    name = clean_line(value)
    return "" if is_placeholder(name) or _NO_AUTHOR.fullmatch(name) else name


def names_in(*values: str) -> str:
    """The names in ``values``, of which one may hold several lines, each once and in one line."""
    lines = (clean_line(line) for value in values for line in clean(value).split("\n"))
    return _COMMA.join(dict.fromkeys(filter(None, lines)))


def file_title(name: str, text: str) -> str:
    """The title that the file ``name`` gives ``text``: its stem, or nothing where that names a
    file and not what the text is about. Questions and facts would bear the name.

    It is none where it has no word but such as files have (``001``, ``IMG_2034``), and where it
    has marks of files (``report_final_v2``) and does not stand in the text.
    """
    stem = PurePath(name).stem
    words = _words(stem)
    named = [word for word in words if word.casefold() not in _FILE_WORDS]
    if is_placeholder(stem) or not named:
        return ""
    has_marks = "_" in stem or len(named) < len(words)
    return "" if has_marks and not contains(text, stem) else stem


def _words(stem: str) -> list[str]:
    """The runs of letters in ``stem``, but for single letters of alphabets."""
    apart = "".join(c if unicodedata.category(c)[0] in "LM" else " " for c in stem)
    return [word for word in apart.split() if len(word) > 1 or writes_without_spaces(word)]


def first_heading(markdown: str) -> str:
    """The text of the first Markdown heading outside code fences, else empty."""
    fence = ""
    for line in markdown.split("\n"):
        mark = re.match(r"\s*(`{3,}|~{3,})", line)
        if mark and (not fence or mark.group(1).startswith(fence)):
            fence = "" if fence else mark.group(1)
        heading = None if fence else re.match(r"#{1,6}\s+(.*?)(?:\s+#+)?$", line)
        if heading and heading.group(1).strip():
            return re.sub(r"\s*\{#[^}]*\}$", "", heading.group(1)).strip()
    return ""


def front_value(values: Mapping[str, str], *names: str) -> str:
    """The first non-empty value under ``names``, which are tried in order, ignoring case."""
    lowered = {key.lower(): value for key, value in values.items()}
    return next((lowered[name] for name in names if lowered.get(name, "").strip()), "")


def as_url(value: str) -> str:
    """``value`` where it is a web address, else empty."""
    return value.strip() if _URL.fullmatch(value.strip()) else ""
