"""Plain text, and Markdown with or without YAML front matter."""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath

import yaml

from teichaku.documents.content import (
    PARSER_ERRORS,
    Columns,
    Content,
    LoadingError,
    as_url,
    clean,
    clean_line,
    file_title,
    first_heading,
    front_value,
    names_in,
)
from teichaku.documents.encodings import decode

_FRONT_MATTER = re.compile(
    r"---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE
)
#: Words that a text asks to be named by go before its authors.
_ATTRIBUTION = (
    *("attribution", "credit", "credits", "クレジット", "帰属", "出典表示"),
    *("author", "authors", "著者", "著者名", "執筆者"),
)
_MARKDOWN = frozenset({".md", ".markdown"})


def read_plain(data: bytes, name: str, columns: Columns) -> Iterator[Content | LoadingError]:
    """The one text of a .txt or .md file. Raises ``LoadingError`` where it cannot be decoded.

    The title comes from the front matter, the first Markdown heading, or the file's name
    (:func:`file_title`).
    """
    path = PurePath(name)
    text, encoding = decode(data)
    is_markdown = path.suffix.lower() in _MARKDOWN
    # In plain text, lines between two rules are text.
    values, body = split_front_matter(clean(text)) if is_markdown else ({}, text)
    heading = first_heading(body) if is_markdown else ""
    yield Content(
        text=clean(body),
        title=clean_line(front_value(values, "title", "題名", "タイトル"))
        or heading
        or file_title(name, body),
        source=as_url(front_value(values, "source", "url", "canonical_url", "canonical", "出典")),
        licence=clean_line(front_value(values, "licence", "license", "ライセンス")),
        date=clean_line(front_value(values, "date", "日付")),
        attribution=_attribution(values),
        format="md" if is_markdown else "txt",
        encoding=encoding,
    )


def _attribution(values: Mapping[str, str]) -> str:
    """Whom the front matter names; the 出典 of a text too, where it is words and no address."""
    origin = front_value(values, "出典")
    return names_in(front_value(values, *_ATTRIBUTION) or ("" if as_url(origin) else origin))


def split_front_matter(text: str) -> tuple[Mapping[str, str], str]:
    """The YAML front matter as strings, and the text after it.

    Text that starts with a rule (``---``) but is no mapping in YAML is all body.
    """
    match = _FRONT_MATTER.match(text)
    if not match:
        return {}, text
    try:
        # Strings only: a date stays as it was written.
        values = yaml.load(match.group(1), Loader=yaml.BaseLoader)
    except (yaml.YAMLError, *PARSER_ERRORS):
        return {}, text
    if not isinstance(values, dict):
        return {}, text
    return {str(key): _as_text(value) for key, value in values.items()}, text[match.end() :]


def _as_text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(filter(None, map(_as_text, value)))
    if isinstance(value, dict):  # an author with an address, say
        return _as_text(value.get("name"))
    return value if isinstance(value, str) else ""
