import pytest

from teichaku.documents.content import Columns, Content, LoadingError
from teichaku.documents.html import parse_html, read_html, to_markdown


def read(html: str, encoding: str = "utf-8", name: str = "page.html") -> Content:
    (content,) = read_html(html.encode(encoding), name, Columns())
    assert isinstance(content, Content)
    return content


def markdown(html: str) -> str:
    return to_markdown(parse_html(html))


def test_furniture_of_the_page_is_left_out() -> None:
    page = read(
        "<title>利用案内</title><nav><a href='/'>トップ</a></nav><script>track()</script>"
        "<style>p{}</style><!-- 注 --><main><h1>利用案内</h1><p>平日は九時に開く。</p></main>"
        "<p hidden>隠れた文</p><div role='contentinfo'>連絡先</div><footer>著作権</footer>"
    )
    assert page.text == "# 利用案内\n\n平日は九時に開く。"
    assert page.title == "利用案内"


def test_declared_shift_jis_is_read_as_the_wider_code_of_windows() -> None:
    page = read('<meta charset="shift_jis"><title>㈲山本</title><p>～まで</p>', "cp932")
    assert (page.title, page.text, page.encoding) == ("㈲山本", "～まで", "cp932")


def test_what_the_page_says_of_itself_is_carried_along() -> None:
    page = read(
        '<head><link rel="canonical" href="https://example.org/a"><link rel="license" '
        'href="https://creativecommons.org/licenses/by/4.0/"><meta property="og:title" '
        'content="題名"><meta property="article:published_time" content="2024-04-01"></head>文'
    )
    assert page.title == "題名"
    assert page.source == "https://example.org/a"
    assert page.licence == "https://creativecommons.org/licenses/by/4.0/"
    assert page.date == "2024-04-01"


@pytest.mark.parametrize(
    ("head", "attribution"),
    [
        ('<meta name="author" content="山田花子">', "山田花子"),
        ('<meta name="Citation_Author" content="山田花子"><meta name="citation_author" '
         'content="John Smith"><meta name="author" content="編集部">', "山田花子, John Smith"),
        ('<meta name="author" content="admin">', ""),
        ("", ""),
    ],
)  # fmt: skip
def test_the_head_of_a_page_names_its_authors(head: str, attribution: str) -> None:
    assert read(f"<head>{head}</head>文").attribution == attribution


def test_title_falls_back_to_the_heading_and_the_file_name() -> None:
    assert read("<h2>見出し</h2><p>文</p>").title == "見出し"
    assert read("<p>文</p>", name="案内.html").title == "案内"


def test_line_breaks_of_the_source_vanish_between_japanese_and_are_spaces_between_words() -> None:
    assert (
        markdown("<p>土壌汚染\n<a href='#'>対策法</a>\n（平成十四年）</p>")
        == "土壌汚染対策法（平成十四年）"
    )
    assert markdown("<p>soil\n<b>pollution</b>\nact</p>") == "soil pollution act"
    assert markdown("<p>一行目<br>二行目</p>") == "一行目\n二行目"


def test_emphasis_and_links_leave_the_words_alone() -> None:
    assert markdown("<p>六価<b>クロム</b><a href='x'>化合物</a>*_</p>") == "六価クロム化合物*_"


def test_reading_of_ruby_stands_in_brackets() -> None:
    assert markdown("<ruby>焼津<rp>(</rp><rt>やいづ</rt><rp>)</rp></ruby>市") == "焼津（やいづ）市"


def test_table_becomes_a_markdown_table_with_spans_filled() -> None:
    table = (
        "<table><tr><th>区分</th><th colspan=2>料金</th></tr><tr><td rowspan=2>大人</td><td>平日</td>"
        "<td>610円</td></tr><tr><td>休日</td><td>a|b</td></tr></table>"
    )
    assert markdown(table).split("\n") == [
        "| 区分 | 料金 |  |",
        "| --- | --- | --- |",
        "| 大人 | 平日 | 610円 |",
        "| 大人 | 休日 | a\\|b |",
    ]


def test_cell_that_spans_to_the_last_column_leaves_no_row_short() -> None:
    table = "<table><tr><td>a</td><td rowspan=2>b</td></tr><tr><td>c</td></tr></table>"
    assert markdown(table).split("\n")[2] == "| c | b |"


def test_table_for_layout_becomes_plain_blocks() -> None:
    layout = "<table><tr><td><table><tr><td>a</td><td>b</td></tr></table></td><td><p>文</p></td></tr></table>"
    assert markdown(layout) == "| a | b |\n| --- | --- |\n\n文"
    assert markdown("<table><tr><td>囲み記事</td></tr></table>") == "囲み記事"


def test_code_keeps_its_lines() -> None:
    assert markdown("<pre>a\n  b</pre>") == "```\na\n  b\n```"


def test_form_around_a_page_does_not_hide_it() -> None:
    assert read("<form><p>本文</p><button>送信</button></form>").text == "本文"


def test_line_breaks_between_korean_words_are_spaces_and_between_thai_ones_nothing() -> None:
    assert markdown("<p>대한민국의\n수도는</p>") == "대한민국의 수도는"
    assert markdown("<p>ประเทศ\nไทย</p>") == "ประเทศไทย"
    assert read("<title>대한민국의\n수도</title><p>文</p>").title == "대한민국의 수도"


def test_fault_of_the_parser_is_a_broken_file() -> None:
    with pytest.raises(LoadingError) as caught:
        markdown("<ol start='²'><li>文</li></ol>")
    assert caught.value.reason == "broken_file"
