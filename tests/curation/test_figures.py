import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages import texts
from teichaku.core.text import numbers
from teichaku.curation.figures import figures, readable_figures

_KANJI = "〇一二三四五六七八九"


def readable(text: str) -> set[str]:
    return {figure.value for figure in readable_figures(text)}


def values(text: str) -> list[str]:
    return [figure.value for figure in figures(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("料金は1,800円、子供は９００円。", ["1800", "900"]),
        ("千八百円", ["1800"]),
        ("三千五百万円と1万8千円", ["35000000", "18000"]),
        ("1.8万円", ["18000"]),
        ("二〇二四年十月三日", ["2024", "10", "3"]),
        ("一九八七", ["1987"]),
        ("八人乗りの船が十一隻", ["8", "11"]),
        ("第12条、version 1.10, 05時", ["12", "1.10", "5"]),
        ("十分な量を、数十人で、一部だけ、一つに", []),
        ("千葉県の三角州と百貨店、四国、五輪", []),
        ("1.5 million users in 2024", ["1500000", "2024"]),
        ("forty-eight people, two hundred and five chairs", ["48", "205"]),
        ("one of two reasons", []),
        ("ราคา ๑๘๐ บาท", ["180"]),
        ("票价是一千八百元", ["1800"]),
        ("🎲36枚🎲", ["36"]),
    ],
)
def test_numbers_are_read_by_value(text: str, expected: list[str]) -> None:
    assert values(text) == expected


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("一つの箱に三角の札", {"1", "3"}),
        ("ふたつある", {"2"}),
        ("3千円", {"3", "3000"}),
        ("two reasons, forty-eight people", {"2", "48"}),
        ("5 million", {"5", "5000000"}),
    ],
)
def test_more_may_be_read_out_of_a_text_than_it_claims(text: str, found: set[str]) -> None:
    assert readable(text) == found


@given(st.integers(0, 10**13))
def test_a_number_is_the_same_in_every_notation(number: int) -> None:
    value = str(number)
    wide = value.translate(str.maketrans("0123456789", "０１２３４５６７８９"))
    positional = value.translate(str.maketrans("0123456789", _KANJI))
    for written in (f"{number:,}", wide, f"{positional}年"):
        assert value in readable(f"値は{written}である")


@given(st.integers(1, 9999), st.sampled_from(["", "万", "億"]))
def test_kanji_numerals_have_their_value(number: int, myriad: str) -> None:
    places = zip(("千", "百", "十", ""), f"{number:04}", strict=True)
    written = "".join(
        (_KANJI[int(digit)] if digit != "1" or not unit else "") + unit
        for unit, digit in places
        if digit != "0"
    )
    scale = {"": 1, "万": 10**4, "億": 10**8}[myriad]
    assert str(number * scale) in readable(f"{written}{myriad}円")


@given(texts)
def test_whatever_is_claimed_can_be_read(text: str) -> None:
    assert set(values(text)) <= readable(text)


@given(texts)
def test_no_number_in_digits_is_overlooked(text: str) -> None:
    plain = {number for number in numbers(text) if number.isascii()}
    assert plain <= {value.lstrip("-") for value in readable(text)}


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("15時", "午後3時", True),
        ("15:00", "3 p.m.", True),
        ("15时", "下午3点", True),
        ("15.00 น.", "บ่าย 3 โมง", True),
        ("午前3時", "午後3時", False),
        ("午後3時", "3時", True),
        ("15時間", "15時", True),
        ("5割", "50%", True),
        ("5割", "5%", False),
        ("百分之五十", "50%", True),
        ("ร้อยละ 50", "50 per cent", True),
        ("1500m", "1.5km", True),
        ("1500メートル", "1.5 km", True),
        ("1500米", "1.5公里", True),
        ("1500 เมตร", "1.5 กิโลเมตร", True),
        ("1500m", "1.5m", False),
        ("1800円", "1800 yen", True),
        ("令和5年", "2023年", True),
        ("令和元年", "2019", True),
        ("平成5年", "2023年", False),
        ("พ.ศ. 2566", "2023", True),
        ("-5度", "5度", False),
    ],
)
def test_the_same_in_other_units_is_the_same(one: str, other: str, is_same: bool) -> None:
    assert any(a.is_same(b) for a in figures(one) for b in figures(other)) is is_same


@pytest.mark.parametrize(
    "text",
    [
        "三日月",
        "二人三脚で",
        "四日市と廿日市",
        "十人十色",
        "二度手間",
        "両国",
        "两国之间",
        "哪一条",
        "二元論",
    ],
)
def test_numerals_inside_words_claim_nothing(text: str) -> None:
    assert values(text) == []


@pytest.mark.parametrize("digits", ["9" * 400, "令和" + "9" * 400 + "年", "九" * 400 + "万"])
def test_a_number_may_be_of_any_length(digits: str) -> None:
    assert figures(digits)
