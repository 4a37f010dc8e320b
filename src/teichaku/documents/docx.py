"""Word documents (.docx): headings, lists, tables, text boxes and footnotes as Markdown."""

import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from xml.etree import ElementTree
from xml.parsers.expat import ExpatError

from teichaku.core.errors import MissingExtraError
from teichaku.documents.content import (
    PARSER_ERRORS,
    Columns,
    Content,
    LoadingError,
    author,
    clean_line,
    file_title,
    first_heading,
    is_placeholder,
)
from teichaku.documents.html import parse_html, to_markdown

#: A Microsoft compound file: a .doc of old, or a .docx under a password.
_COMPOUND_FILE = bytes.fromhex("d0cf11e0a1b11ae1")
_ENCRYPTED_STREAM = "EncryptedPackage".encode("utf-16-le")

#: What mammoth and the zip, XML and compression modules under it raise for broken files.
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, ExpatError, ElementTree.ParseError, OSError, EOFError),
    *PARSER_ERRORS,
)

#: Tables of contents are navigation. The names are those of Word's own styles, which are
#: English in the file whatever language Word speaks.
_STYLES = "\n".join(
    ["p[style-name='Title'] => h1:fresh", "p[style-name='Subtitle'] => p:fresh"]
    + [f"p[style-name='toc {level}'] => !" for level in range(1, 10)]
    + ["p[style-name='TOC Heading'] => !"]
)
_LONGEST_TITLE = 80
_DUBLIN_CORE = "{http://purl.org/dc/elements/1.1/}"
_BACK_REFERENCE = re.compile(r"(?<!\s)\s*↑\s*$", re.MULTILINE)


def read_docx(data: bytes, name: str, columns: Columns) -> Iterator[Content | LoadingError]:
    """The one text of a .docx file. Raises ``LoadingError`` for encrypted and broken files.

    The title comes from the document's properties unless Word made it up, the line that it
    opens with, the first heading, or the file's name; the author from the properties.
    """
    _refuse_compound_file(data)
    html, title, creator = _convert(data)
    markdown = _BACK_REFERENCE.sub("", to_markdown(parse_html(html)))
    yield Content(
        text=markdown,
        title=title or _opening(markdown) or first_heading(markdown) or file_title(name, markdown),
        format="docx",
        attribution=creator,
    )


def _refuse_compound_file(data: bytes) -> None:
    if not data.startswith(_COMPOUND_FILE):
        return
    if _ENCRYPTED_STREAM in data:
        raise LoadingError(
            "encrypted", "It is under a password.", "Save a copy without the password."
        )
    raise LoadingError(
        "unsupported_format", "It is a Word file of the old kind.", "Save it as .docx."
    )


def _convert(data: bytes) -> tuple[str, str, str]:
    """The document as HTML, and its title and author where its properties hold real ones."""
    try:
        import mammoth
    except ModuleNotFoundError as error:
        raise MissingExtraError("Reading DOCX", "documents") from error
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if any(entry.flag_bits & 1 for entry in archive.infolist()):
                raise LoadingError(
                    "encrypted", "It is under a password.", "Save a copy without the password."
                )
            title, creator = _properties(archive)
        converted = mammoth.convert_to_html(
            io.BytesIO(data),
            style_map=_STYLES,
            convert_image=mammoth.images.img_element(lambda image: {}),
        )
    except _BROKEN as error:
        raise LoadingError(
            "broken_file",
            f"It is no readable .docx file: {error!r}.",
            "Open it in Word or LibreOffice and save it again as .docx.",
        ) from error
    title = clean_line(title)
    return str(converted.value), "" if is_placeholder(title) else title, author(creator)


def _opening(markdown: str) -> str:
    """The first paragraph where it looks like a title: many are only set in large letters."""
    opening = clean_line(markdown.split("\n\n", 1)[0].removeprefix("# "))
    is_title = len(opening) <= _LONGEST_TITLE and not re.search(r"[。．.!?！？|]\s*$", opening)
    return opening if is_title and not opening.startswith(("#", "|", "- ")) else ""


def _properties(archive: zipfile.ZipFile) -> tuple[str, str]:
    """Title and creator, as they stand there."""
    if "docProps/core.xml" not in archive.namelist():
        return "", ""
    try:
        properties = ElementTree.fromstring(archive.read("docProps/core.xml"))
    except ElementTree.ParseError:
        return "", ""  # the document itself may still be whole
    title, creator = (properties.findtext(_DUBLIN_CORE + key) for key in ("title", "creator"))
    return title or "", creator or ""
