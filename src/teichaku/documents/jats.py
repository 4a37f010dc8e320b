"""Scientific articles in JATS XML (ANSI/NISO Z39.96), as PubMed Central and J-STAGE give them."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from teichaku.core.errors import MissingExtraError
from teichaku.documents.content import (
    PARSER_ERRORS,
    Columns,
    Content,
    LoadingError,
    clean_line,
    file_title,
    glue,
    names_in,
)
from teichaku.documents.html import parse_html, to_markdown

if TYPE_CHECKING:
    from lxml.etree import _Element

_HREF = "{http://www.w3.org/1999/xlink}href"
_DEEPEST_HEADING = 6
#: JATS elements -> the HTML elements that say the same.
_AS_HTML = {
    **{"disp-quote": "blockquote", "preformat": "pre", "code": "pre", "break": "br"},
    **{"def-list": "dl", "term": "dt", "def": "dd", "disp-formula": "p", "label": "p"},
    **{"fig": "section", "table-wrap": "section", "fn": "section", "caption": "div"},
}
#: Text that is no part of what the article says, or says it twice.
_LEFT_OUT = ("object-id", "graphic", "media", "permissions", "alt-text")
_WITH_HEADING = (
    *("abstract", "trans-abstract", "body", "sec", "app", "boxed-text", "ack", "fn-group"),
)
_TEX_PREAMBLE = re.compile(r"\A.*\\begin\{document\}|\\end\{document\}.*\Z", re.DOTALL)
_ROLES_OF_DATE = ("epub", "pub", "ppub", "collection", "")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def read_jats(data: bytes, name: str, columns: Columns) -> Iterator[Content | LoadingError]:
    """The articles of an XML file, numbered where there are several.

    Raises ``LoadingError`` with ``broken_file`` for XML that is not well formed and with
    ``unknown_xml`` for XML that holds no JATS article.
    """
    root = _parse(data)
    articles = [root] if root.tag == "article" else list(root.iter("article"))
    articles = [article for article in articles if article.find("front") is not None]
    if not articles:
        raise LoadingError(
            "unknown_xml",
            f"It is XML of another kind than JATS (its root is <{root.tag}>).",
            "Convert it to text, Markdown or HTML first.",
        )
    for number, article in enumerate(articles, 1):
        yield _as_content(article, name, number if len(articles) > 1 else None)


def _parse(data: bytes) -> "_Element":
    """The root, with names free of namespaces. Nothing outside the file is read."""
    try:
        from lxml import etree
    except ModuleNotFoundError as error:
        raise MissingExtraError("Reading XML", "documents") from error
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, *PARSER_ERRORS) as error:
        raise LoadingError(
            "broken_file", f"It is not well-formed XML: {error}.", "Get the file again."
        ) from error
    for element in root.iter("*"):
        element.tag = etree.QName(element).localname
    return root


def _as_content(article: "_Element", name: str, number: int | None) -> Content:
    meta, text = _meta(article), "\n\n".join(filter(None, _sections(article, 1)))
    return Content(
        text=text,
        title=_title(meta) or file_title(name, text),
        source=_doi(meta),
        licence=_licence(meta),
        date=_date(meta),
        format="jats",
        encoding="",
        row=number,
        attribution=names_in(*_authors(meta)),
    )


def _meta(article: "_Element") -> "_Element":
    """What an article says of itself; a sub-article may leave it out."""
    found = _first(article, "front/article-meta", "front-stub", "front")
    return article.makeelement("front") if found is None else found


def _title(meta: "_Element") -> str:
    return _text(_first(meta, "title-group/article-title", ".//article-title"))


def _sections(article: "_Element", depth: int) -> Iterator[str]:
    """The title, the parts, and the same of the articles within: translations, replies."""
    meta = _meta(article)
    if title := _title(meta):
        yield f"{'#' * min(depth, _DEEPEST_HEADING)} {title}"
    for part in _parts(article, meta):
        yield _markdown(part, depth + 1)
    for inner in article.findall("sub-article") + article.findall("response"):
        yield from _sections(inner, depth + 1)


def _first(element: "_Element", *paths: str) -> "_Element | None":
    found = (element.find(path) for path in paths)
    return next((match for match in found if match is not None), None)


def _text(element: "_Element | None") -> str:
    if element is None:
        return ""
    return clean_line(re.sub(r"[^\S\n]+", " ", "".join(element.itertext())))


def _parts(article: "_Element", meta: "_Element") -> Iterator["_Element"]:
    """The abstracts (also those in further languages), the body, the figures and tables that
    stand apart, and the notes.
    """
    for kind in ("abstract", "trans-abstract"):
        for abstract in meta.iter(kind):
            # A graphical abstract or a teaser repeats; the main abstract has no type.
            if abstract.get("abstract-type") in (None, "", "executive-summary", "section"):
                yield abstract
    yield from article.findall("body")
    yield from article.findall("floats-group")
    for part in article.findall("back/*"):
        if part.tag != "ref-list":
            yield from part.findall("app") if part.tag == "app-group" else (part,)


def _markdown(part: "_Element", depth: int) -> str:
    from lxml import etree

    _choose_alternatives(part)
    etree.strip_elements(part, *_LEFT_OUT, with_tail=False)
    _settle_titles(part)
    _rename(part, depth)
    part.tag = "div"
    part.tail = None
    html = etree.tostring(part, encoding="unicode", method="html")
    return to_markdown(parse_html(html))


def _choose_alternatives(part: "_Element") -> None:
    """Keep one of several forms of the same thing, and of TeX only the formula."""
    for forms in list(part.iter("alternatives")):
        chosen = _first(forms, "table", "textual-form", "tex-math", "math")
        for form in list(forms):
            if form is not chosen:
                forms.remove(form)
    for formula in part.iter("tex-math"):
        formula.text = _TEX_PREAMBLE.sub("", formula.text or "").strip()


def _settle_titles(part: "_Element") -> None:
    """Put the number of a section into its title; make other titles than of sections text."""
    for title in list(part.iter("title")):
        parent, label = title.getparent(), title.getprevious()
        if parent.tag not in _WITH_HEADING:
            title.tag = "p"
        elif label is not None and label.tag == "label":
            title.text = f"{_text(label)} {title.text or ''}"
            parent.remove(label)


def _rename(element: "_Element", depth: int) -> None:
    """Give all children of ``element`` the names that HTML has for them; ``depth`` is the
    level of a heading here.
    """
    for child in element:
        if not isinstance(child.tag, str):  # an entity that was left unresolved
            continue
        inner = depth
        if child.tag == "title":
            child.tag = f"h{min(depth, _DEEPEST_HEADING)}"
        elif child.tag in _WITH_HEADING:
            inner = depth + (0 if element.tag in ("body", "app-group") else 1)
            child.tag = "section"
        elif child.tag == "list":
            child.tag = "ol" if child.get("list-type") == "order" else "ul"
        elif child.tag == "list-item":
            for label in child.findall("label"):  # the list gives marks of its own
                child.remove(label)
            child.tag = "li"
        else:
            child.tag = _AS_HTML.get(child.tag, child.tag)
        _rename(child, inner)


def _doi(meta: "_Element") -> str:
    for identifier in meta.iter("article-id"):
        if identifier.get("pub-id-type") == "doi" and _text(identifier):
            return f"https://doi.org/{_text(identifier).removeprefix('https://doi.org/')}"
    return ""


def _licence(meta: "_Element") -> str:
    """The address of the licence where one is given, else its words."""
    licence = meta.find("permissions/license")
    if licence is None:
        return ""
    links = (licence, *licence.iter("license_ref", "ext-link"))
    addresses = [link.get(_HREF) or (link.text or "") for link in links]
    given = (address.strip() for address in addresses if address.strip().startswith("http"))
    return next(given, clean_line(_text(licence)))


def _authors(meta: "_Element") -> Iterator[str]:
    """The names of those who wrote an article; editors and translators did not."""
    for group in meta.findall("contrib-group"):
        for person in group.findall("contrib"):
            if person.get("contrib-type", "author") == "author":
                yield _name(person)


def _name(person: "_Element") -> str:
    """A person's name in the order of the writing system, or that of a group of persons."""
    name = _first(person, "name", "name-alternatives/name")
    if name is None:
        other = _first(person, "string-name", "name-alternatives/string-name", "collab")
        # A group may list its members; those are named where they are authors themselves.
        if other is not None:
            for members in other.findall("contrib-group"):
                other.remove(members)
        return _text(other)
    family, given = _text(name.find("surname")), _text(name.find("given-names"))
    if not family or not given:
        return family or given
    space = glue(family[-1], given[0])
    if not space or name.get("name-style") == "eastern":
        return f"{family}{space}{given}"
    return f"{given} {family}"


def _date(meta: "_Element") -> str:
    """The day of publication as ISO 8601, as far as it is given."""
    dates = {
        date.get("pub-type") or date.get("date-type") or "": date
        for date in reversed(meta.findall("pub-date"))
    }
    for role in (*_ROLES_OF_DATE, *sorted(dates)):
        if role in dates and _iso(dates[role]):
            return _iso(dates[role])
    return ""


def _iso(date: "_Element") -> str:
    if date.get("iso-8601-date"):
        return str(date.get("iso-8601-date"))
    year, month, day = (_text(date.find(part)) for part in ("year", "month", "day"))
    if month[:3].lower() in _MONTHS:
        month = str(_MONTHS.index(month[:3].lower()) + 1)
    given = [year]
    for part in (month, day):
        if not part.isdecimal():
            break
        given.append(part.zfill(2))
    return "-".join(given) if year else ""
