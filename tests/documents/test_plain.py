import pytest

from teichaku.documents.content import Columns, Content, clean
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


@pytest.mark.parametrize(
    ("front", "attribution"),
    [
        ("author: 山田花子", "山田花子"),
        ("authors: [山田花子, John Smith]", "山田花子, John Smith"),
        ("authors:\n  - {name: สมชาย, orcid: 1}\n  - name: 李雷", "สมชาย, 李雷"),
        ("author: A\nattribution: © 2024 市役所", "© 2024 市役所"),
        ("著者: 山田花子", "山田花子"),
        ("出典: 市の統計書", "市の統計書"),
        ("出典: https://example.org/a", ""),
        ("author:\n", ""),
    ],
)
def test_front_matter_says_whom_to_name(front: str, attribution: str) -> None:
    assert read(f"---\n{front}\n---\n本文").attribution == attribution


def test_path_in_front_matter_is_no_source() -> None:
    assert read("---\ntitle: 容器\nurl: /docs/a\n---\n本文").source == ""


@pytest.mark.parametrize(
    "text", ["---\nこれは罫線である。\n---\n本文", "---\na: [\n---\n本文", "---\na: b\n本文"]
)
def test_rule_at_the_start_is_no_front_matter(text: str) -> None:
    assert split_front_matter(text) == ({}, text)


@pytest.mark.parametrize(
    ("name", "text", "title"),
    [
        ("001.txt", "受付番号001の話。", ""),
        ("2024-05-01.md", "本文。", ""),
        ("IMG_2034.txt", "The boat.", ""),
        ("report_final_v2.txt", "This report is about a boat.", ""),
        ("第3章.txt", "第3章は船の話。", ""),
        ("利用案内_最終版.txt", "図書室を利用する人への案内。", ""),
        ("oak_boat.txt", "The oak boat was built in 1987.", "oak_boat"),
        ("あおば丸 改訂版.txt", "船の話。", ""),
        ("あおば丸.txt", "船の話。", "あおば丸"),
        ("2023年度報告.txt", "本文。", "2023年度報告"),
        ("PX-20.txt", "重さは5キロ。", "PX-20"),
        ("船.txt", "檜で造る。", "船"),
        ("会员手册.txt", "会员证不得转借。", "会员手册"),
        ("คู่มือสมาชิก.txt", "บัตรสมาชิก", "คู่มือสมาชิก"),
        ("สมาชิก_2.txt", "บัตร", ""),
        ("Ferry Larkspur.txt", "Built in 1987.", "Ferry Larkspur"),
    ],
)
def test_a_file_name_is_a_title_only_where_it_is_a_name(name: str, text: str, title: str) -> None:
    assert read(text, name).title == title


def test_title_is_the_first_heading_outside_code_else_the_file_name() -> None:
    assert read("```sh\n# comment\n```\n\n## 使い方 {#usage}\n").title == "使い方"
    assert read("見出しのない文。", "土壌汚染対策法.md").title == "土壌汚染対策法"
    assert read("# 見出しではない", "メモ.txt").title == "メモ"


def test_text_is_untouched_but_for_line_ends_outer_blank_lines_and_trailing_spaces() -> None:
    raw = "\ufeff\r\n　全角字下げ，ｶﾅ㍿  \r\nつぎ\r\r\n\0おわり\n\n"
    assert read(raw, "a.txt").text == "　全角字下げ，ｶﾅ㍿\nつぎ\n\nおわり"


def test_lines_between_rules_of_plain_text_are_text() -> None:
    text = "---\n会場: 市民ホール\n開始: 9:00\n---\n本文"
    assert read(text, "案内.txt").text == text


def test_front_matter_nested_too_deeply_is_text() -> None:
    text = f"---\na: {'[' * 5000}\n---\n本文"
    assert split_front_matter(text) == ({}, text)


def test_control_characters_vanish_but_quotes_of_windows_are_meant() -> None:
    assert read("It\u0092s\x01 \u0093new\u0094.\x7f\x1b\u0081").text == "It’s “new”."


@pytest.mark.timeout(5)
def test_long_runs_of_spaces_take_no_time() -> None:
    text = "a" + " " * 50_000 + "b"
    assert clean(text) == text
