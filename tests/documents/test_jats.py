import pytest

from teichaku.documents.content import Columns, Content, LoadingError
from teichaku.documents.jats import read_jats

FRONT = """
<front><article-meta>
  <article-id pub-id-type="doi">10.0000/example.1</article-id>
  <title-group><article-title>土壌の<italic>pH</italic>と収量</article-title></title-group>
  <pub-date pub-type="ppub"><year>2021</year></pub-date>
  <pub-date pub-type="epub"><day>3</day><month>Feb</month><year>2020</year></pub-date>
  <permissions><license xlink:href="https://creativecommons.org/licenses/by/4.0/">
    <license-p>Open access.</license-p></license></permissions>
  <abstract><p>収量を調べた。</p></abstract>
  <abstract abstract-type="graphical"><p>図。</p></abstract>
</article-meta></front>
"""
BODY = """
<body><sec><label>1</label><title>方法</title><p>三年間<xref>[1]</xref>
測った。</p>
<table-wrap><label>表1</label><caption><title>収量</title></caption>
<table><thead><tr><th>年</th><th>kg</th></tr></thead><tbody><tr><td>2019</td><td>610</td></tr></tbody>
</table></table-wrap>
<sec><title>統計</title><list list-type="order"><list-item><label>i</label><p>平均</p></list-item>
</list><p>式 <inline-formula><alternatives><tex-math>\\begin{document}$x^2$\\end{document}</tex-math>
<graphic/></alternatives></inline-formula> を用いた。</p></sec></sec></body>
<back><ref-list><ref><mixed-citation>文献</mixed-citation></ref></ref-list></back>
"""
LINK = 'xmlns:xlink="http://www.w3.org/1999/xlink"'


def read(xml: str) -> list[Content]:
    found = list(read_jats(xml.encode(), "article.xml", Columns()))
    return [content for content in found if isinstance(content, Content)]


@pytest.mark.parametrize("namespace", ["", ' xmlns="https://jats.nlm.nih.gov/ns/archiving/1.3/"'])
def test_article_is_read_with_all_that_it_says_of_itself(namespace: str) -> None:
    (article,) = read(f"<article {LINK}{namespace}>{FRONT}{BODY}</article>")
    assert article.title == "土壌のpHと収量"
    assert article.source == "https://doi.org/10.0000/example.1"
    assert article.licence == "https://creativecommons.org/licenses/by/4.0/"
    assert article.date == "2020-02-03"
    assert article.text.split("\n\n") == [
        "# 土壌のpHと収量",
        "収量を調べた。",
        "## 1 方法",
        "三年間[1] 測った。",
        "表1",
        "収量",
        "| 年 | kg |\n| --- | --- |\n| 2019 | 610 |",
        "### 統計",
        "1. 平均",
        "式 $x^2$ を用いた。",
    ]


def test_several_articles_of_one_file_are_numbered() -> None:
    xml = f"<pmc-articleset {LINK}><article>{FRONT}</article><article>{FRONT}</article></pmc-articleset>"
    assert [article.row for article in read(xml)] == [1, 2]


def test_authors_are_named_in_the_order_of_their_writing_and_editors_are_not() -> None:
    people = (
        ("author", "<name><surname>Smith</surname><given-names>John</given-names></name>"),
        ("author", "<name-alternatives><name><surname>山田</surname><given-names>花子</given-names>"
         "</name><name><surname>Yamada</surname></name></name-alternatives>"),
        ("author", '<name name-style="eastern"><surname>Sato</surname><given-names>Ken</given-names>'
         "</name>"),
        ("author", "<collab>研究班<contrib-group><contrib>員</contrib></contrib-group></collab>"),
        ("editor", "<name><surname>Doe</surname></name>"),
    )  # fmt: skip
    group = "".join(f'<contrib contrib-type="{kind}">{who}</contrib>' for kind, who in people)
    front = FRONT.replace("<pub-date", f"<contrib-group>{group}</contrib-group><pub-date", 1)
    (article,) = read(f"<article {LINK}>{front}{BODY}</article>")
    assert article.attribution == "John Smith, 山田花子, Sato Ken, 研究班"
    assert read(f"<article {LINK}>{FRONT}</article>")[0].attribution == ""


def test_words_of_the_licence_stand_in_where_no_address_is_given() -> None:
    front = FRONT.replace('xlink:href="https://creativecommons.org/licenses/by/4.0/"', "")
    assert read(f"<article {LINK}>{front}</article>")[0].licence == "Open access."


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        ("<feed><entry>文</entry></feed>", "unknown_xml"),
        ("<article><p>文</p></article>", "unknown_xml"),
        ("<article><front>", "broken_file"),
        ("文", "broken_file"),
    ],
)
def test_other_xml_is_refused(xml: str, reason: str) -> None:
    with pytest.raises(LoadingError) as caught:
        read(xml)
    assert caught.value.reason == reason


def test_nothing_outside_the_file_is_read() -> None:
    xml = (
        '<!DOCTYPE article [<!ENTITY secret SYSTEM "file:///etc/hostname">]>'
        "<article><front><article-meta><title-group><article-title>題</article-title></title-group>"
        "<abstract><p>文&secret;</p></abstract></article-meta></front></article>"
    )
    assert read(xml)[0].text.startswith("# 題\n\n文")
    assert len(read(xml)[0].text) < 25


def test_line_break_in_a_japanese_title_is_no_space() -> None:
    front = FRONT.replace("土壌の", "土壌汚染\n  と")
    (article,) = read(f"<article {LINK}>{front}</article>")
    assert article.title == "土壌汚染とpHと収量"


def test_figures_set_apart_notes_and_articles_within_keep_their_text() -> None:
    floats = "<floats-group><fig><caption><p>図の説明。</p></caption></fig></floats-group>"
    notes = "<back><sec><title>謝意</title><p>関係者に。</p></sec></back>"
    inner = (
        "<sub-article><front-stub><title-group><article-title>返答</article-title></title-group>"
        "</front-stub><body><sec><title>一</title><p>答える。</p></sec></body></sub-article>"
    )
    (article,) = read(f"<article {LINK}>{FRONT}{notes}{floats}{inner}</article>")
    assert article.text.split("\n\n")[2:] == [
        "図の説明。",
        *("## 謝意", "関係者に。", "## 返答", "### 一", "答える。"),
    ]
