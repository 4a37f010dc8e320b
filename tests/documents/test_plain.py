import pytest

from teichaku.documents.content import Columns, Content
from teichaku.documents.plain import read_plain, split_front_matter


def read(text: str, name: str = "page.md") -> Content:
    (content,) = read_plain(text.encode(), name, Columns())
    assert isinstance(content, Content)
    return content


def test_front_matter_is_taken_off_and_its_values_kept_as_written() -> None:
    page = read(
        "---\ntitle: 容器\ndate: 2024-05-01\nlicense: CC BY 4.0\nurl: https://example.org/a\n---\n"
        "\n# 見出し\n\n本文。\n"
    )
    assert page.title == "容器"
    assert page.date == "2024-05-01"
    assert page.licence == "CC BY 4.0"
    assert page.source == "https://example.org/a"
    assert page.text == "# 見出し\n\n本文。"


def test_path_in_front_matter_is_no_source() -> None:
    assert read("---\ntitle: 容器\nurl: /docs/a\n---\n本文").source == ""


@pytest.mark.parametrize(
    "text", ["---\nこれは罫線である。\n---\n本文", "---\na: [\n---\n本文", "---\na: b\n本文"]
)
def test_rule_at_the_start_is_no_front_matter(text: str) -> None:
    assert split_front_matter(text) == ({}, text)


def test_title_is_the_first_heading_outside_code_else_the_file_name() -> None:
    assert read("```sh\n# comment\n```\n\n## 使い方 {#usage}\n").title == "使い方"
    assert read("見出しのない文。", "土壌汚染対策法.md").title == "土壌汚染対策法"
    assert read("# 見出しではない", "メモ.txt").title == "メモ"


def test_text_is_untouched_but_for_line_ends_outer_blank_lines_and_trailing_spaces() -> None:
    raw = "\ufeff\r\n　全角字下げ，ｶﾅ㍿  \r\nつぎ\r\r\n\0おわり\n\n"
    assert read(raw, "a.txt").text == "　全角字下げ，ｶﾅ㍿\nつぎ\n\nおわり"
