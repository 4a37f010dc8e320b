"""HTML as Markdown; also the last step of the readers of DOCX and JATS, which make HTML."""

import copy
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from teichaku.core.errors import MissingExtraError
from teichaku.documents.content import (
    PARSER_ERRORS,
    Columns,
    Content,
    LoadingError,
    as_url,
    author,
    clean,
    clean_line,
    file_title,
    first_heading,
    glue,
    names_in,
)
from teichaku.documents.encodings import decode

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

_CHARSET = re.compile(
    rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w.:-]+)|<\?xml[^>]+encoding\s*=\s*[\"']([\w.:-]+)",
    re.IGNORECASE,
)
_NO_CONTENT = (
    *("script", "style", "noscript", "template", "nav", "footer", "button", "select"),
    *("iframe", "object", "svg", "canvas", "video", "audio", "img", "input", "rp", "head"),
)
_NO_CONTENT_ROLES = frozenset({"navigation", "banner", "contentinfo", "search", "dialog"})
#: Marks of emphasis and links would stand inside of sentences; the words are what counts.
_INLINE = ["a", "b", "strong", "em", "i", "u", "s", "del", "sub", "sup", "q", "kbd", "samp"]
_HEADINGS = ["h1", "h2", "h3", "h4", "h5", "h6"]
#: Stands for a line break of the source, which is no line break of the text.
_SOURCE_BREAK = "\x1f"
_SPAN_LIMIT = 200


def read_html(data: bytes, name: str, columns: Columns) -> Iterator[Content | LoadingError]:
    """The one text of an HTML page, without scripts, styles, navigation and footers.

    The title comes from <title>, og:title, the first heading, or the file's name; source,
    licence, date and authors from what the page says of itself. Raises ``LoadingError``.
    """
    declared = _CHARSET.search(data[:4096])
    text, encoding = decode(data, _first_group(declared))
    soup = parse_html(text)
    head = {
        "title": clean_line(soup.title.get_text()) if soup.title else "",
        "og_title": _meta(soup, "og:title"),
        "source": as_url(_link(soup, "canonical") or _meta(soup, "og:url")),
        "licence": _link(soup, "license") or _meta(soup, "dcterms.license", "dcterms.rights"),
        "date": _meta(soup, "article:published_time", "dcterms.issued", "dcterms.date", "date"),
    }
    markdown = to_markdown(_main_part(soup))
    title = head["title"] or head["og_title"] or first_heading(markdown)
    yield Content(
        text=markdown,
        title=title or file_title(name, markdown),
        source=head["source"],
        licence=head["licence"],
        date=head["date"],
        format="html",
        encoding=encoding,
        attribution=_authors(soup),
    )


def parse_html(text: str) -> "BeautifulSoup":
    """The tree of an HTML text. Raises ``LoadingError`` where the parser gives up."""
    try:
        from bs4 import BeautifulSoup, FeatureNotFound
        from bs4.exceptions import ParserRejectedMarkup
    except ModuleNotFoundError as error:
        raise MissingExtraError("Reading HTML", "documents") from error
    try:
        return BeautifulSoup(text, "lxml")
    except FeatureNotFound as error:
        raise MissingExtraError("Reading HTML", "documents") from error
    except (ParserRejectedMarkup, *PARSER_ERRORS) as error:
        raise LoadingError(
            "broken_file", f"It is no readable HTML: {error}.", "Save the page again."
        ) from error


def to_markdown(tree: "Tag") -> str:
    """The content of ``tree`` as Markdown; the tree is changed on the way.

    Headings are ``#``, tables have pipes, code is fenced; emphasis and link targets are left
    out. Line breaks of the HTML source become a space, or nothing between characters of
    scripts without spaces (as CSS Text 3, section 4.1.3, has it).
    """
    try:
        from markdownify import MarkdownConverter
    except ModuleNotFoundError as error:
        raise MissingExtraError("Reading HTML", "documents") from error
    _remove_furniture(tree)
    _prepare_tables(tree)
    _prepare_text(tree)
    converter = MarkdownConverter(
        heading_style="atx",
        bullets="-",
        strip=_INLINE,
        escape_asterisks=False,
        escape_underscores=False,
        table_infer_header=True,
    )
    try:
        markdown: str = converter.convert_soup(tree)
    except PARSER_ERRORS as error:
        raise LoadingError(
            "broken_file", f"It is no readable HTML: {error!r}.", "Save the page again."
        ) from error
    joined = re.sub(f"{_SOURCE_BREAK}+", _joint, clean(markdown))
    return clean(re.sub(r"\n{3,}", "\n\n", clean(joined)))


def _first_group(match: re.Match[bytes] | None) -> str:
    found = next(filter(None, match.groups()), b"") if match else b""
    return found.decode("ascii", "replace")


def _meta(soup: "BeautifulSoup", *names: str) -> str:
    """The content of the first <meta> of one of ``names``, in the order of the names."""
    contents: dict[str, str] = {}
    for tag in soup.find_all("meta"):
        name = str(tag.get("property") or tag.get("name") or "").lower()
        contents.setdefault(name, clean_line(str(tag.get("content") or "")))
    return next((contents[name] for name in names if contents.get(name)), "")


def _authors(soup: "BeautifulSoup") -> str:
    """Those whom the head of a page names as its authors: one <meta> each, or all in one."""
    for name in ("citation_author", "dcterms.creator", "dc.creator", "author"):
        tags = soup.find_all("meta", attrs={"name": re.compile(f"^{re.escape(name)}$", re.I)})
        given = names_in(*(author(str(tag.get("content") or "")) for tag in tags))
        if given:
            return given
    return ""


def _link(soup: "BeautifulSoup", relation: str) -> str:
    tag = soup.find(["link", "a"], rel=relation, href=True)
    return clean_line(str(tag["href"])) if tag else ""


def _main_part(soup: "BeautifulSoup") -> "Tag":
    """<main> or the only <article>, where it holds a good part of the page; else the body."""
    body = soup.body or soup
    parts = soup.find_all("main") or soup.find_all(role="main") or soup.find_all("article")
    whole = len(body.get_text())
    if len(parts) == 1 and len(parts[0].get_text()) >= 0.25 * whole:
        return parts[0]
    return body


def _remove_furniture(tree: "Tag") -> None:
    from bs4 import Comment

    for comment in tree.find_all(string=lambda text: isinstance(text, Comment)):
        comment.extract()
    for tag in tree.find_all(_NO_CONTENT):
        tag.extract()
    for tag in tree.find_all(True):
        hidden = tag.has_attr("hidden") or tag.get("aria-hidden") == "true"
        if hidden or tag.get("role") in _NO_CONTENT_ROLES:
            tag.extract()
    for reading in tree.find_all("rt"):
        reading.string = f"（{reading.get_text().strip('()（） ')}）"


def _prepare_text(tree: "Tag") -> None:
    """Mark the line breaks of the source, and mend what headings and cells cannot hold."""
    from bs4.element import NavigableString

    for text in list(tree.find_all(string=True)):
        if text.find_parent("pre"):
            continue
        content = re.sub(r"(?<![ \t])[ \t]*[\r\n][ \t\r\n]*", _SOURCE_BREAK, str(text))
        if text.find_parent(["td", "th"]):
            content = content.replace("|", r"\|")
        text.replace_with(NavigableString(content))
    for line_break in tree.find_all("br"):
        if line_break.find_parent(_HEADINGS):
            line_break.replace_with(NavigableString(_SOURCE_BREAK))


def _joint(match: re.Match[str]) -> str:
    """What a line break of the source stands for between its two neighbours."""
    text, start, end = match.string, match.start(), match.end()
    before, after = text[start - 1 : start], text[end : end + 1]
    if not before.strip() or not after.strip():
        return ""
    return glue(before, after)


def _prepare_tables(tree: "Tag") -> None:
    """Turn tables that only lay out a page into plain blocks, and fill spanned cells."""
    for table in tree.find_all("table"):
        rows = [row for row in table.find_all("tr") if row.find_parent("table") is table]
        widest = max((len(row.find_all(["td", "th"])) for row in rows), default=0)
        if table.find("table") or table.find(_HEADINGS) or widest <= 1:
            parts = table.find_all(["tbody", "thead", "tfoot", "tr", "td", "th"])
            for part in [part for part in parts if part.find_parent("table") is table]:
                part.name = "div"
            table.name = "div"
        else:
            _fill_spans(table)


def _fill_spans(table: "Tag") -> None:
    """Repeat cells that span rows in each of them; leave the further columns of a span empty."""
    pending: dict[int, tuple[Tag, int]] = {}
    for row in table.find_all("tr"):
        filled = list(_filled(row.find_all(["td", "th"], recursive=False), pending))
        row.clear()
        row.extend(filled)


def _filled(cells: list["Tag"], pending: dict[int, tuple["Tag", int]]) -> Iterator["Tag"]:
    """The cells of one row with those that reach into it from above. ``pending`` holds by
    column the cells that reach down and for how many rows more.
    """
    column, given = 0, iter(cells)
    above, cell = dict(pending), next(given, None)
    pending.clear()
    while cell is not None or any(place >= column for place in above):
        width = 1
        if column in above:
            model, rows = above.pop(column)
        elif cell is not None:
            model, rows, width = cell, _span(cell, "rowspan"), _span(cell, "colspan")
            cell = next(given, None)
        else:
            model, rows = _emptied(next(iter(above.values()))[0]), 1
        for place in range(column, column + width):
            shown = copy.copy(model) if place == column else _emptied(model)
            if rows > 1:
                pending[place] = (shown, rows - 1)
            yield copy.copy(shown)
        column += width


def _span(cell: "Tag", attribute: str) -> int:
    value = str(cell.attrs.pop(attribute, "1")).strip()
    return max(1, min(_SPAN_LIMIT, int(value))) if value.isdecimal() else 1


def _emptied(cell: "Tag") -> "Tag":
    empty = copy.copy(cell)
    empty.clear()
    return empty
