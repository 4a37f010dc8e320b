"""PDF files with a text layer: lines put together into paragraphs by where they stand."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

from teichaku.core.errors import MissingExtraError
from teichaku.documents.content import (
    Columns,
    Content,
    LoadingError,
    author,
    clean,
    clean_line,
    file_title,
    is_placeholder,
)
from teichaku.documents.encodings import read_japanese
from teichaku.documents.page_lines import Glyph, Line, headline, join_lines, lines_of

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage

_PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD in pdfium's fpdfview.h
#: Share of the page's height, above and below, where running heads and page numbers stand.
_MARGIN = 0.12
_REPEATED_SHARE = 0.4
_NUMBER = re.compile(r"[0-9０-９]+|(?<![A-Za-z])[ivxlc]+(?![A-Za-z])")
_PAGE_NUMBER = re.compile(r"[\W_]*#[\W_]*(?:(?:of|/)[\W_]*#[\W_]*)?")
#: The bytes from 0x80 on as PDF has them in titles of one byte a character (ISO 32000-1, annex
#: D.2), and as Windows has them; programs write Japanese in either's place.
_BYTES_OF_TITLES = (
    "•†‡…—–ƒ⁄‹›−‰„“”‘’‚™ﬁﬂŁŒŠŸŽıłœšž\x9f€",
    "€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ",
)
#: The dots of a table of contents, which is navigation.
_LEADERS = re.compile(r"(?:[.．…‥・·]\s?){3,}\s*[0-9０-９ivxlc]+$|(?:[.．…‥・·]\s?){8,}$")


def read_pdf(data: bytes, name: str, columns: Columns) -> Iterator[Content | LoadingError]:
    """The one text of a PDF file, without running heads, page numbers and dotted contents.

    Raises ``LoadingError``: ``encrypted``, ``broken_file``, or ``no_text`` for a file of
    pictures of pages. The title comes from the file's metadata, unless a program made it up,
    from the largest letters of the first page, or from the file's name; the author from the
    metadata.
    """
    pages, title, writer = _read_pages(data)
    if not any(lines for lines in pages):
        raise LoadingError(
            "no_text",
            f"Its {len(pages)} pages hold pictures but no text.",
            "Run text recognition (OCR) over it first, for example with ocrmypdf.",
        )
    lines = without_furniture(pages)
    large = clean_line(headline([line for line in lines if line.page == 0]))
    text = clean(join_lines(lines))
    yield Content(
        text=text,
        title=(large or file_title(name, text)) if is_placeholder(title) else title,
        format="pdf",
        attribution=author(writer),
    )


def without_furniture(pages: Sequence[Sequence[Line]]) -> list[Line]:
    """The lines of all pages without those in the margins that come again on other pages
    (but for their numbers), and without the dotted lines of a table of contents.
    """
    seen = Counter(key for page in pages for key in {_key(line) for line in page if line.marginal})
    least = max(2, min(3, len(pages)), _REPEATED_SHARE * len(pages))

    def is_furniture(line: Line) -> bool:
        if _LEADERS.search(line.text):
            return True
        times = seen[_key(line)] if line.marginal else 0
        return times >= least or (times >= 2 and _PAGE_NUMBER.fullmatch(_key(line)) is not None)

    return [line for page in pages for line in page if not is_furniture(line)]


def _key(line: Line) -> str:
    return _NUMBER.sub("#", line.text)


def open_pdf(data: bytes) -> "PdfDocument":
    """The file, to be closed. Raises ``LoadingError`` (``encrypted`` or ``broken_file``), and
    ``MissingExtraError``.
    """
    with _readable() as pypdfium2:
        return pypdfium2.PdfDocument(data)


def _read_pages(data: bytes) -> tuple[list[list[Line]], str, str]:
    """The lines of each page, and the title and the author of the metadata."""
    with _readable(), closing(open_pdf(data)) as document:
        title, writer = _metadata(document, "Title"), _metadata(document, "Author")
        pages = [_read_page(document, number) for number in range(len(document))]
        return pages, title, writer


@contextmanager
def _readable() -> Iterator[Any]:
    """The library; what it cannot read is raised as ``LoadingError``."""
    try:
        import pypdfium2
    except ModuleNotFoundError as error:
        raise MissingExtraError("Reading PDF", "documents") from error
    try:
        yield pypdfium2
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) == _PASSWORD_ERROR:
            raise LoadingError(
                "encrypted", "It is under a password.", "Save a copy without the password."
            ) from error
        raise LoadingError(
            "broken_file", f"It is no readable PDF: {error}", "Get the file or print it again."
        ) from error


def _metadata(document: "PdfDocument", key: str) -> str:
    """What the metadata has under ``key``, empty where it is damaged."""
    try:
        return clean_line(mended(document.get_metadata_value(key)))
    except UnicodeDecodeError:  # half of a surrogate pair
        return ""


def mended(title: str) -> str:
    """``title``, read again where its bytes are Japanese that was taken for Latin letters;
    empty where it is damaged or most of it are accents and signs, which no language writes.
    """
    readings = [data for marks in _BYTES_OF_TITLES if (data := _as_bytes(title, marks))]
    wide = sum(character > "\x7f" for character in title)
    is_misread = "\ufffd" in title or (readings and 2 * wide > len("".join(title.split())))
    return next(filter(None, map(read_japanese, readings)), "" if is_misread else title)


def _as_bytes(title: str, marks: str) -> bytes:
    table = {ord(mark): byte for byte, mark in enumerate(marks, 0x80)}
    try:
        return title.translate(table).encode("latin-1")
    except UnicodeEncodeError:
        return b""


def _read_page(document: "PdfDocument", number: int) -> list[Line]:
    page = document[number]
    try:
        _, bottom, _, top = page.get_bbox()
        glyphs = _glyphs(page)
    finally:
        page.close()
    margin = _MARGIN * (top - bottom)
    if _is_vertical(glyphs):
        # Seen from the side, columns from right to left are lines from top to bottom.
        glyphs = [
            Glyph(g.character, -g.top, -g.bottom, g.left, g.right, g.generated) for g in glyphs
        ]
        bottom, top = float("-inf"), float("inf")
    return list(lines_of(glyphs, bottom + margin, top - margin, number))


def _glyphs(page: "PdfPage") -> list[Glyph]:
    """The characters of a page with their boxes, in the order of the file."""
    import pypdfium2.raw as pdfium

    text_page: Any = page.get_textpage()
    glyphs: list[Glyph] = []
    try:
        for index in range(text_page.count_chars()):
            code = pdfium.FPDFText_GetUnicode(text_page, index)
            left, bottom, right, top = text_page.get_charbox(index, loose=True)
            generated = bool(pdfium.FPDFText_IsGenerated(text_page, index))
            if 0xDC00 <= code < 0xE000 and glyphs and "\ud800" <= glyphs[-1].character < "\udc00":
                high = glyphs.pop()  # pdfium counts in units of UTF-16
                code = (((ord(high.character) & 0x3FF) << 10) | (code & 0x3FF)) + 0x10000
                left = high.left
            glyphs.append(Glyph(chr(code), left, right, bottom, top, generated))
    finally:
        text_page.close()
    return glyphs


def _is_vertical(glyphs: Sequence[Glyph]) -> bool:
    """Whether most characters stand under their predecessors."""
    real = [glyph for glyph in glyphs if not glyph.generated and glyph.character.strip()]
    if len(real) < 20:
        return False
    size = median(glyph.size for glyph in real)
    under = sum(
        abs(before.left - glyph.left) < 0.3 * size and 0 < before.top - glyph.top < 2 * size
        for before, glyph in pairwise(real)
    )
    return under > 0.6 * len(real)
