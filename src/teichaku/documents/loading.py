"""From the paths of a recipe to documents: every file and row comes out, read or dropped."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from teichaku.core.records import Document, Dropped, content_id
from teichaku.core.run_folder import record_as_json
from teichaku.documents.content import Columns, Content, LoadingError, Reader, clean
from teichaku.documents.docx import read_docx
from teichaku.documents.files import find_files, hash_inputs, name_from, printable
from teichaku.documents.html import read_html
from teichaku.documents.jats import read_jats
from teichaku.documents.pdf import open_pdf, read_pdf
from teichaku.documents.plain import read_plain
from teichaku.documents.tables import column_names, read_delimited, read_json, read_json_lines

__all__ = ["READERS", "Columns", "glance", "hash_inputs", "load_documents"]

#: The reader of each file name extension.
READERS: dict[str, Reader] = {
    **dict.fromkeys((".txt", ".text", ".md", ".markdown"), read_plain),
    **dict.fromkeys((".html", ".htm", ".xhtml"), read_html),
    **dict.fromkeys((".csv", ".tsv"), read_delimited),
    **dict.fromkeys((".jsonl", ".ndjson"), read_json_lines),
    **dict.fromkeys((".xml", ".nxml"), read_jats),
    ".json": read_json,
    ".pdf": read_pdf,
    ".docx": read_docx,
}
ALL_COLUMNS = Columns()
_STAGE = "documents"
_TABLES = frozenset({".csv", ".tsv", ".json", ".jsonl", ".ndjson"})
#: Formats in which the title is a cell, and so a part of what a row says.
_TITLED_ROWS = frozenset({"csv", "tsv", "json", "jsonl"})
#: Larger files are not opened by a glance.
_GLANCED_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Glance:
    """What little of the files of documents shows at once: how many there are, which paths name
    none, which files cannot be read and why, and the columns of the tables, by the files' names.
    """

    files: int
    missing: Sequence[str]
    unreadable: Mapping[str, LoadingError]
    columns: Mapping[str, Sequence[str]]


def glance(
    paths: Sequence[str], root: Path, columns: Columns = ALL_COLUMNS, *, opens_pdf: bool = True
) -> Glance:
    """The files that ``paths`` name, without their texts: of a table the columns are read, a PDF
    file is opened (``opens_pdf``), of the rest only the kind is looked at. What cannot be read for
    another reason shows when it is loaded.

    Raises ``MissingExtraError`` as :func:`load_documents`.
    """
    files, missing = find_files(paths, root)
    opened = {*_TABLES, ".pdf"} if opens_pdf else _TABLES
    unreadable: dict[str, LoadingError] = {}
    tables: dict[str, Sequence[str]] = {}
    for file in files:
        name = name_from(file, root)
        try:
            _reader(file)
            suffix, size = file.suffix.lower(), file.stat().st_size
            if size and (size > _GLANCED_BYTES or suffix not in opened):
                continue
            data = _bytes(file)
            if suffix == ".pdf":
                open_pdf(data).close()
            elif names := column_names(data, printable(file.name), columns):
                tables[name] = names
            else:
                raise _no_rows()
        except LoadingError as error:
            unreadable[name] = error
    return Glance(len(files), missing, unreadable, tables)


def load_documents(
    paths: Sequence[str], root: Path, columns: Columns = ALL_COLUMNS
) -> Iterator[Document | Dropped]:
    """The documents in all files that ``paths`` name, then what was dropped and why.

    ``paths`` are files, folders or globs, relative to ``root``; ``columns`` says what the
    columns of tables mean. The order of the paths changes nothing: documents come sorted by
    source, rows of a table in their order. A broken file is dropped and the rest goes on. Of
    files with the same text the first is kept, whatever their titles; of rows, those that have
    the same title too.
    Raises ``MissingExtraError`` where a library for one of the formats is not installed.
    """
    files, missing = find_files(paths, root)
    loaded: list[Document | Dropped] = [_path_not_found(path, root) for path in missing]
    for file in files:
        loaded.extend(_read(file, name_from(file, root), columns))
    documents = sorted((item for item in loaded if isinstance(item, Document)), key=_order)
    lost = [item for item in loaded if isinstance(item, Dropped)]
    kept: dict[str, Document] = {}
    said: dict[tuple[str, str], Document] = {}
    for document in documents:
        what = (document.title if document.format in _TITLED_ROWS else "", document.text)
        first = kept.get(document.id) or said.get(what)
        if first is None:
            kept[document.id] = said[what] = document
        else:
            lost.append(_duplicate(document, first))
    yield from kept.values()
    yield from sorted(lost, key=lambda item: (item.evidence, item.reason, item.record_id))


def _read(file: Path, source: str, columns: Columns) -> Iterator[Document | Dropped]:
    """The documents of one file, or the one reason why there are none."""
    try:
        found = False
        for content in _contents(file, columns):
            found = True
            yield _as_record(content, source)
        if not found:
            raise _no_rows()
    except LoadingError as error:
        yield _dropped(source, error)


def _no_rows() -> LoadingError:
    return LoadingError("empty", "It holds no rows.", "Take it out of the recipe's paths.")


def _contents(file: Path, columns: Columns) -> Iterator[Content | LoadingError]:
    reader = _reader(file)
    yield from reader(_bytes(file), printable(file.name), columns)


def _reader(file: Path) -> Reader:
    """What reads ``file``. Raises ``LoadingError`` where nothing does."""
    reader = READERS.get(file.suffix.lower())
    if file.is_dir() or not file.is_file():
        raise LoadingError(
            "unreadable", "It cannot be read as a file.", "Check the link, and who may read it."
        )
    if reader is None:
        known = ", ".join(sorted(READERS))
        raise LoadingError(
            "unsupported_format",
            f"Files of the kind '{printable(file.suffix or file.name)}' are not read.",
            f"Convert it, or give it its right extension ({known}).",
        )
    return reader


def _bytes(file: Path) -> bytes:
    """What is in ``file``. Raises ``LoadingError`` where it cannot be read, or is empty."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise LoadingError(
            "unreadable", f"It cannot be read: {error.strerror}.", "Check who may read it."
        ) from error
    if not data.strip():
        raise LoadingError("empty", "It is empty.", "Take it out of the recipe's paths.")
    return data


def _as_record(content: Content | LoadingError, source: str) -> Document | Dropped:
    place = source if content.row is None else f"{source}#{content.row}"
    if isinstance(content, LoadingError):
        return _dropped(place, content)
    text, title = clean(content.text), clean(content.title)
    if not text.strip():
        empty = LoadingError("empty", "It holds no text.", "Name columns or files that hold text.")
        return _dropped(place, empty, title)
    # Where the file's name is no title it is still a part of the id.
    named = title or (clean(PurePath(source).stem) if content.row is None else "")
    return Document(
        id=content_id(named, text),
        source=clean(content.source) or place,
        title=title,
        text=text,
        licence=clean(content.licence),
        date=clean(content.date),
        format=content.format,
        encoding=content.encoding,
        attribution=clean(content.attribution),
    )


def _dropped(source: str, error: LoadingError, title: str = "") -> Dropped:
    identifier = content_id(source)
    record = record_as_json(Document(identifier, source, title, ""))
    evidence = clean(f"{source}: {error.message} {error.hint}")  # it may quote the file
    return Dropped(identifier, "Document", _STAGE, error.reason, evidence, record)


def _path_not_found(path: str, root: Path) -> Dropped:
    return _dropped(
        path,
        LoadingError(
            "path_not_found",
            f"Nothing is there (looked for from {root.resolve().name or root}/).",
            "Correct the path in the recipe.",
        ),
    )


def _duplicate(document: Document, first: Document) -> Dropped:
    same = "title and text" if document.title == first.title else "text"
    return Dropped(
        content_id(document.source),
        "Document",
        _STAGE,
        "duplicate_document",
        f"{document.source}: It has the same {same} as {first.source}, which is kept.",
        record_as_json(document),
    )


def _order(document: Document) -> tuple[str, int, str]:
    """By source, with row 2 before row 10."""
    name, mark, row = document.source.rpartition("#")
    if mark and row.isdecimal():
        return name, int(row), document.id
    return document.source, 0, document.id
