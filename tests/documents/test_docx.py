import io
import zipfile

import pytest

from teichaku.documents.content import Columns, Content, LoadingError
from teichaku.documents.docx import read_docx

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


def paragraph(text: str, style: str = "", extra: str = "") -> str:
    properties = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{properties}<w:r><w:t>{text}</w:t></w:r>{extra}</w:p>"


def docx(body: str, title: str = "", creator: str = "") -> bytes:
    """A Word file with the styles and the one footnote that the tests need."""
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="{style}"><w:name w:val="{name}"/></w:style>'
        for style, name in {
            "a": "Title",
            "1": "heading 1",
            "11": "toc 1",
            "b": "TOC Heading",
        }.items()
    )
    parts = {
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}"><Relationship Id="r1" '
        f'Type="{OFFICE}/officeDocument" Target="word/document.xml"/></Relationships>',
        "word/document.xml": f'<w:document xmlns:w="{WORD}" xmlns:v="urn:schemas-microsoft-com:vml">'
        f"<w:body>{body}</w:body></w:document>",
        "word/styles.xml": f'<w:styles xmlns:w="{WORD}">{styles}</w:styles>',
        "word/footnotes.xml": f'<w:footnotes xmlns:w="{WORD}"><w:footnote w:id="2">'
        f"{paragraph('脚注の文。')}</w:footnote></w:footnotes>",
        "docProps/core.xml": '<p:c xmlns:p="p" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<dc:title>{title}</dc:title><dc:creator>{creator}</dc:creator></p:c>",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, xml in parts.items():
            archive.writestr(name, '<?xml version="1.0" encoding="UTF-8"?>' + xml)
    return buffer.getvalue()


def read(data: bytes) -> Content:
    (content,) = read_docx(data, "報告書.docx", Columns())
    assert isinstance(content, Content)
    return content


def refusal(data: bytes) -> str:
    with pytest.raises(LoadingError) as caught:
        list(read_docx(data, "a.docx", Columns()))
    return caught.value.reason


def test_headings_tables_and_footnotes_become_markdown_and_contents_are_left_out() -> None:
    note = '<w:r><w:footnoteReference w:id="2"/></w:r>'
    row = "<w:tr>{}</w:tr>".format
    cell = "<w:tc>{}</w:tc>".format
    table = "<w:tbl>{}{}</w:tbl>".format(
        row(cell(paragraph("区分")) + cell(paragraph("料金"))),
        row(cell(paragraph("大人")) + cell(paragraph("610円"))),
    )
    contents = paragraph("目次", "b") + paragraph("はじめに 1", "11")
    body = paragraph("移行の手引き", "a") + contents + paragraph("はじめに", "1")
    document = read(docx(body + paragraph("本文", extra=note) + table))
    assert document.title == "移行の手引き"
    assert document.text.split("\n\n") == [
        "# 移行の手引き",
        "# はじめに",
        "本文[1]",
        "| 区分 | 料金 |\n| --- | --- |\n| 大人 | 610円 |",
        "1. 脚注の文。",
    ]


@pytest.mark.parametrize(
    ("creator", "attribution"),
    [
        ("山田花子", "山田花子"),
        ("市民課 広報係", "市民課 広報係"),
        ("John Smith; 李雷", "John Smith; 李雷"),
        ("สมชาย ใจดี", "สมชาย ใจดี"),
        ("Microsoft Office User", ""),
        ("python-docx", ""),
        ("Windows ユーザー", ""),
        ("DOMAIN\\yamada", ""),
        ("u01234", ""),
        ("作成者", ""),
        ("", ""),
    ],
)
def test_the_author_of_the_properties_is_named_unless_it_is_an_account(
    creator: str, attribution: str
) -> None:
    assert read(docx(paragraph("本文。"), creator=creator)).attribution == attribution


def test_text_box_is_read() -> None:
    box = f"<w:p><w:r><w:pict><v:shape><v:textbox><w:txbxContent>{paragraph('囲みの文')}"
    box += "</w:txbxContent></v:textbox></v:shape></w:pict></w:r></w:p>"
    assert "囲みの文" in read(docx(paragraph("本文。") + box)).text


@pytest.mark.parametrize(
    ("title", "body", "expected"),
    [
        ("業務の手引き", paragraph("別の見出し", "1"), "業務の手引き"),
        ("Microsoft Word - draft.docx", paragraph("見出し", "1"), "見出し"),
        (
            "",
            paragraph("データ利用の特性と留意点") + paragraph("はじめに", "1"),
            "データ利用の特性と留意点",
        ),
        ("", paragraph("これは文である。") + paragraph("はじめに", "1"), "はじめに"),
        ("", paragraph("これは文である。"), "報告書"),
    ],
)
def test_title_is_the_best_that_the_file_has(title: str, body: str, expected: str) -> None:
    assert read(docx(body, title)).title == expected


def test_password_is_told_apart_from_damage() -> None:
    whole = docx(paragraph("文"))
    compound = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(100)
    assert refusal(compound + "EncryptedPackage".encode("utf-16-le")) == "encrypted"
    assert refusal(compound) == "unsupported_format"
    entry = whole.index(b"PK\x01\x02") + 8
    assert refusal(whole[:entry] + b"\x01" + whole[entry + 1 :]) == "encrypted"
    assert refusal(whole[:-30]) == "broken_file"
    assert refusal(whole.replace(b"</w:body>", b"</w:bodi>")) == "broken_file"
    assert refusal(b"PK\x05\x06" + bytes(18)) == "broken_file"


@pytest.mark.parametrize(
    ("whole", "broken"), [("w:body", "w:bodies"), ("<w:t>文</w:t>", '<w:sym w:char="zz"/>')]
)
def test_xml_that_is_no_document_is_a_broken_file(whole: str, broken: str) -> None:
    with zipfile.ZipFile(io.BytesIO(docx(paragraph("文")))) as archive:
        parts = {name: archive.read(name).decode() for name in archive.namelist()}
    parts["word/document.xml"] = parts["word/document.xml"].replace(whole, broken)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, xml in parts.items():
            archive.writestr(name, xml)
    assert refusal(buffer.getvalue()) == "broken_file"
