"""From the paths of a recipe to documents: every file and row comes out, read or dropped."""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from teichaku.core.records import Document, Dropped, content_id
from teichaku.core.run_folder import record_as_json
from teichaku.documents.content import Columns, Content, LoadingError, Reader, clean
from teichaku.documents.docx import read_docx
from teichaku.documents.files import find_files, hash_inputs, name_from, printable
from teichaku.documents.html import read_html
from teichaku.documents.jats import read_jats
from teichaku.documents.pdf import read_pdf
from teichaku.documents.plain import read_plain
from teichaku.documents.tables import read_delimited, read_json, read_json_lines

__all__ = ["READERS", "Columns", "hash_inputs", "load_documents"]

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


def load_documents(
    paths: Sequence[str], root: Path, columns: Columns = ALL_COLUMNS
) -> Iterator[Document | Dropped]:
    """The documents in all files that ``paths`` name, then what was dropped and why.

    ``paths`` are files, folders or globs, relative to ``root``; ``columns`` says what the
    columns of tables mean. The order of the paths changes nothing: documents come sorted by
    source, rows of a table in their order. A broken file is dropped and the rest goes on.
    Raises ``MissingExtraError`` where a library for one of the formats is not installed.
    """
    files, missing = find_files(paths, root)
    loaded: list[Document | Dropped] = [_path_not_found(path, root) for path in missing]
    for file in files:
        loaded.extend(_read(file, name_from(file, root), columns))
    documents = sorted((item for item in loaded if isinstance(item, Document)), key=_order)
    lost = [item for item in loaded if isinstance(item, Dropped)]
    kept: dict[str, Document] = {}
    for document in documents:
        first = kept.setdefault(document.id, document)
        if first is not document:
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
            raise LoadingError("empty", "It holds no rows.", "Take it out of the recipe's paths.")
    except LoadingError as error:
        yield _dropped(source, error)


def _contents(file: Path, columns: Columns) -> Iterator[Content | LoadingError]:
    name = printable(file.name)
    reader = READERS.get(file.suffix.lower())
    if file.is_dir() or not file.is_file():
        raise LoadingError(
            "unreadable", "It cannot be read as a file.", "Check the link, and who may read it."
        )
    if reader is None:
        known = ", ".join(sorted(READERS))
        raise LoadingError(
            "unsupported_format",
            f"Files of the kind '{printable(file.suffix) or name}' are not read.",
            f"Convert it, or give it its right extension ({known}).",
        )
    try:
        data = file.read_bytes()
    except OSError as error:
        raise LoadingError(
            "unreadable", f"It cannot be read: {error.strerror}.", "Check who may read it."
        ) from error
    if not data.strip():
        raise LoadingError("empty", "It is empty.", "Take it out of the recipe's paths.")
    yield from reader(data, name, columns)


def _as_record(content: Content | LoadingError, source: str) -> Document | Dropped:
    place = source if content.row is None else f"{source}#{content.row}"
    if isinstance(content, LoadingError):
        return _dropped(place, content)
    text, title = clean(content.text), clean(content.title)
    if not text.strip():
        empty = LoadingError("empty", "It holds no text.", "Name columns or files that hold text.")
        return _dropped(place, empty, title)
    # Where the file's name is no title it still tells two documents of the same text apart.
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
    return Dropped(
        content_id(document.source),
        "Document",
        _STAGE,
        "duplicate_document",
        f"{document.source}: It has the same title and text as {first.source}, which is kept.",
        record_as_json(document),
    )


def _order(document: Document) -> tuple[str, int, str]:
    """By source, with row 2 before row 10."""
    name, mark, row = document.source.rpartition("#")
    if mark and row.isdecimal():
        return name, int(row), document.id
    return document.source, 0, document.id
