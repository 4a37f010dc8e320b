import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teichaku.core.records import Document, content_id
from teichaku.documents.passages import split_passages, split_text

PROSE = (
    "水曜日は定休日です。",
    "「本日は休みです。」と書いてある。",
    "料金は１．５倍の６１０円とする！",
    "The shop opens at 11.30 a.m. and closes at nine. ",
    "Is it far? No, it is not. ",
    "北京是中国的首都。人口超过两千万！",
    "กรุงเทพมหานครเป็นเมืองหลวง และเป็นศูนย์กลางการปกครอง ",
    "- 一つ目の項目\n- 二つ目の項目\n",
    "　字下げの段落，読点で続き，まだ続く．",
    "長い文" * 30,
)
TABLE = "| 区分 | 料金 |\n| --- | ---: |\n| 大人 | 610円。 |\n| 子供 | 300円。 |"
FENCES = ("```sh\n# 注。\n\nmake demo\n```", "~~~\n| a |\n\n文。\n~~~", "````\n```\n````")
HEADINGS = ("# 見出し", "## Usage. And more", "### 第一条")
BLANK = st.sampled_from(["\n\n", "\n\n\n", "\n \n"])


def pieces(text: str, characters: int) -> list[str]:
    document = Document(content_id(text), "a.md", "題", text, "CC0", "2024")
    return [passage.text for passage in split_passages([document], characters)]


def visible(texts: Sequence[str]) -> str:
    return re.sub(r"\s", "", "".join(texts))


@st.composite
def markdown_texts(draw: st.DrawFn) -> str:
    paragraph = st.lists(st.sampled_from(PROSE), min_size=1, max_size=8).map("".join)
    block = st.one_of(paragraph, st.sampled_from([TABLE, *FENCES, *HEADINGS]))
    text = draw(st.sampled_from(["", "\n", "\n \n"]))
    for part in draw(st.lists(block, min_size=1, max_size=12)):
        text += part + draw(BLANK)
    return text


@given(markdown_texts(), st.integers(1, 200))
def test_passages_together_are_the_text_and_none_is_blank(text: str, characters: int) -> None:
    found = pieces(text, characters)
    assert visible(found) == visible([text])
    assert all(passage.strip() for passage in found)
    position = 0
    for passage in found:  # each is a slice of the text, in order
        position = text.index(passage, position) + len(passage)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(1, 50))
def test_any_text_at_all_comes_back(text: str, characters: int) -> None:
    assert visible(split_text(text, characters)) == visible([text])


@given(markdown_texts(), st.integers(1, 200))
def test_tables_and_fences_are_never_cut(text: str, characters: int) -> None:
    found = pieces(text, characters)
    for whole in (TABLE, *FENCES):
        # A fence inside of another fence is not counted: it is text there.
        assert sum(passage.count(whole) for passage in found) == text.count(whole)


@given(markdown_texts(), st.integers(20, 200))
def test_heading_is_in_one_passage_with_what_follows_it(text: str, characters: int) -> None:
    for passage in pieces(text, characters)[:-1]:
        lines = [line for line in passage.split("\n") if line.strip()]
        assert lines[-1] not in HEADINGS or all(line in HEADINGS for line in lines)


def test_rows_of_headings_or_numbers_make_no_endless_passage() -> None:
    assert max(map(len, pieces("# 見出しだけ\n\n" * 100, 50))) <= 100
    assert max(map(len, pieces("12\n" * 100, 50))) <= 50


@given(st.lists(st.sampled_from(PROSE[:6]), min_size=1, max_size=60).map("".join))
def test_passages_of_short_sentences_keep_the_limit_but_for_the_last(text: str) -> None:
    found = pieces(text, 100)
    assert all(len(passage) <= 100 for passage in found[:-1])
    assert len(found[-1]) <= 125


@given(st.lists(st.sampled_from(PROSE[:3]), min_size=1, max_size=60).map("".join))
def test_cuts_lie_at_sentence_ends(text: str) -> None:
    assert all(passage[-1] in "。！" for passage in pieces(text, 60))


def test_marks_inside_of_a_sentence_end_none() -> None:
    law = "この法律（以下「法」という。）第二条の規定は、法が定める日（休日を含む。）から施行する。"
    said = "係員は「明日は休みです。」と言った。"
    assert pieces(law + said, 60) == [law, said]
    assert pieces("１．はじめに書く文です。料金は３．５倍とする。", 14) == [
        "１．はじめに書く文です。",
        "料金は３．５倍とする。",
    ]


def test_paragraph_end_goes_before_sentence_end_and_heading_before_both() -> None:
    first, second = "一文目です。" * 12, "二文目です。" * 12
    assert pieces(f"{first}\n\n{second}", 100) == [first, second]
    section = "短い段落。" * 6
    text = f"{section}\n\n{section}\n\n# 次\n\n{section}\n\n{section}"
    assert pieces(text, 110) == [f"{section}\n\n{section}", f"# 次\n\n{section}\n\n{section}"]


@pytest.mark.parametrize("mark", ["।", "။", "។", "。", "."])
def test_the_end_mark_of_any_script_is_a_better_cut_than_a_line(mark: str) -> None:
    text = f"{'क' * 30}{mark} {'क' * 5}\n{'ख' * 30}"
    first, _ = split_text(text, 45)
    assert first.endswith(mark)


def test_text_with_hard_line_breaks_is_cut_at_sentences_rather_than_lines() -> None:
    text = (
        "これは一つ目の文で\nあり、ここで終わる。これは\n二つ目の文であり、まだ続くの\nである。" * 4
    )
    assert all(passage.endswith("。") for passage in pieces(text, 60))


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("あ" * 30 + "、" + "い" * 200, "あ" * 30 + "、"),
        ("word " * 60, "word " * 9 + "word"),
        ("あ" * 300, "あ" * 50),
        ("か\u3099" * 150, "か\u3099" * 25),
        ("\U0001f468\u200d\U0001f469" * 80, "\U0001f468\u200d\U0001f469" * 16),
        ("a" * 49 + "葛\U000e0100" * 100, "a" * 49),
        ("ก" * 49 + "เก" * 100, "ก" * 49),
    ],
)
def test_endless_sentence_is_cut_at_a_comma_a_space_or_between_graphemes(
    text: str, first: str
) -> None:
    assert pieces(text, 50)[0] == first


def test_character_that_is_all_marks_is_not_parted() -> None:
    assert pieces("e" + "\u0301" * 300, 50) == ["e" + "\u0301" * 300]


def test_number_on_a_line_of_its_own_goes_with_what_follows() -> None:
    text = "次の各号に掲げる事項とする。\n一\n\n　氏名又は名称\n二\n\n　住所及び連絡先"
    assert pieces(text, 16) == [
        "次の各号に掲げる事項とする。",
        "一\n\n　氏名又は名称",
        "二\n\n　住所及び連絡先",
    ]


def test_short_rest_joins_the_passage_before() -> None:
    text = "十文字の文である。" * 10
    assert len(pieces(text + "\n\n終わり。", 90)) == 1
    assert len(pieces(text + "\n\n" + "終わりの文。" * 5, 90)) == 2


def test_mark_that_no_fence_closes_makes_no_endless_passage() -> None:
    assert len(pieces("```\n" + "文である。" * 100, 50)) > 5
    ruler = "~" * 20
    assert len(pieces(f"見出し\n{ruler}\n" + "文である。" * 100 + f"\n{ruler}", 50)) > 5


def test_passage_carries_the_fields_of_its_document() -> None:
    document = Document("d", "a.md#3", "題", "一文目。\n\n二文目。", "CC0", "2024-01-01")
    first, second = split_passages([document], 5)
    assert (first.index, second.index) == (0, 1)
    assert (second.document_id, second.title, second.source) == ("d", "題", "a.md#3")
    assert (second.licence, second.date) == ("CC0", "2024-01-01")
    assert second.id == content_id("d", 1, "二文目。")


def test_limit_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        pieces("文", 0)
