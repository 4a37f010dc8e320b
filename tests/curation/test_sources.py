"""What an example claims of its source."""

import pytest

from teichaku.curation.sources import without_item_numbers


@pytest.mark.parametrize(
    ("text", "claimed"),
    [
        ("1. 価格は高い。\n2. 色は白い。", "価格は高い。\n色は白い。"),
        ("1.1987年に造られた。\n2.48人が乗れる。", "1987年に造られた。\n48人が乗れる。"),
        ("1. Oak.\n1. Pine.\n2. Fir.", "Oak.\nPine.\nFir."),
        ("300：価格は高い", "300：価格は高い"),
        ("120) 白い。\n1. 船。", "120) 白い。\n船。"),
        ("1. 船。\n300：価格は高い。\n2. 港。", "船。\n300：価格は高い。\n港。"),
        ("一、港口。\n1、会员证。\n2、规定。", "一、港口。\n会员证。\n规定。"),
    ],
)
def test_only_numbers_that_come_in_turn_are_those_of_a_list(text: str, claimed: str) -> None:
    assert without_item_numbers(text) == claimed
