"""What tells two nearly equal texts apart, and what is a slip of the pen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages import texts
from teichaku.core.text import comparable
from teichaku.curation.same_thing import difference, number_key


@pytest.mark.parametrize(
    ("left", "right", "told"),
    [
        ("規程の第12条に定める。", "規程の第13条に定める。", "12 / 13"),
        ("規程の第十二条に定める。", "規程の第十三条に定める。", "12 / 13"),
        ("2020年に開業した。", "2021年に開業した。", "2020 / 2021"),
        ("二〇二〇年に開業した。", "2021年に開業した。", "2020 / 2021"),
        ("料金は2万5千円です。", "料金は25,500円です。", "25000 / 25500"),
        ("気温は-5度でした。", "気温は5度でした。", "-5 / 5"),
        ("気温はマイナス5度でした。", "気温は5度でした。", "-5 / 5"),
        ("气温是零下5度。", "气温是5度。", "-5 / 5"),
        ("票价是两百元。", "票价是三百元。", "200 / 300"),
        ("อุณหภูมิติดลบ 5 องศา", "อุณหภูมิ 5 องศา", "-5 / 5"),
        ("It was minus 5.", "It was 5.", "-5 / 5"),
        ("倍率は1.5倍です。", "倍率は15倍です。", "1.5 / 15"),
        ("ราคา ๑๒ บาท", "ราคา ๑๓ บาท", "12 / 13"),
        ("票价是12元。", "票价是13元。", "12 / 13"),
        ("型番PX-20Aの部品です。", "型番PX-20Bの部品です。", "px20a / px20b"),
        ("GPUで計算します。", "CPUで計算します。", "gpu / cpu"),
        ("申し込みは東京支店で受け付けます。", "申し込みは大阪支店で受け付けます。", "東京 / 大阪"),
        ("申し込みは静岡支店で受け付けます。", "申し込みは福岡支店で受け付けます。", "静岡 / 福岡"),
        ("それは津市にあります。", "それは堺市にあります。", "津 / 堺"),
        ("担当は田中さんです。", "担当は佐藤さんです。", "田中 / 佐藤"),
        ("イタリアから届いた。", "フランスから届いた。", "イタリア / フランス"),
        ("「春の海」を聞いた。", "「秋の空」を聞いた。", "春の海 / 秋の空"),
        ("We met in Tokyo last year.", "We met in Osaka last year.", "Tokyo / Osaka"),
    ],
)  # fmt: skip
def test_other_numbers_and_named_things_are_told(left: str, right: str, told: str) -> None:
    assert difference(left, right) == told
    assert difference(right, left) == " / ".join(reversed(told.split(" / ")))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("申し込みは東京支店で受け付けます。", "申し込みは東京支店が受け付けます。"),
        ("申し込みは東京支店で受け付けます。", "申し込みは東支店で受け付けます。"),
        ("サーバーを起動します。", "サーバを起動します。"),
        ("サーバーを起動します。", "サーあバーを起動します。"),
        ("第12条に定める。", "第十二条に定める。"),
        ("気温はマイナス5度でした。", "気温は-5度でした。"),
        ("人口是3亿。", "人口是3億。"),
        ("料金は１，８００円です。", "料金は1800円です。"),
        ("型番PX-20Aの部品。", "型番ＰＸ‐２０Ａの部品。"),
        ("The boat left Tokyo at noon.", "A boat left Tokyo at noon."),
        ("We met in Tokyo last year.", "We met in Tokio last year."),
        ("一つ目です。二つ目です。", "二つ目です。一つ目です。"),
        ("定員は48人です。料金は300円です。", "料金は300円です。定員は48人です!"),
        ("建造は1987年。", "建造は1987年。料金は300円。"[:8]),
    ],
)
def test_slips_and_orders_are_no_difference(left: str, right: str) -> None:
    assert difference(left, right) == ""


def test_numbers_that_change_places_differ_though_all_are_there() -> None:
    left, right = "甲は12人です。乙は13人です。", "甲は13人です。乙は12人です。"
    assert difference(left, right) == "12, 13 / 13, 12"
    assert difference("12から13まで。", "13から12まで。") == "12, 13 / 13, 12"


@given(texts, texts)
def test_the_same_text_never_differs_and_the_guard_looks_the_same_from_both_sides(
    left: str, right: str
) -> None:
    assert difference(left, left) == ""
    assert bool(difference(left, right)) == bool(difference(right, left))


@given(texts, st.permutations(["一つ。", "第2条。\n", "東京支店。", "PX-20A。"]))
def test_sentences_in_another_order_do_not_differ(text: str, parts: list[str]) -> None:
    ordered = f"{text}\n" + "".join(sorted(parts))
    assert difference(ordered, f"{text}\n" + "".join(parts)) == ""


@given(texts, texts)
def test_texts_that_do_not_differ_have_the_same_numbers(left: str, right: str) -> None:
    if not difference(left, right) and comparable(left) != comparable(right):
        assert number_key(left) == number_key(right)
