import pytest
from hypothesis import given

from languages import sentence, texts
from teichaku.core.support import support
from teichaku.core.text import comparable, contains


@given(texts, texts)
def test_a_text_wholly_carries_what_stands_in_it(before: str, claim: str) -> None:
    ground = f"{before}。\n{claim}\n。おわり"
    found = support(claim, ground)
    if contains(ground, claim):
        assert (found.share, found.missing_numbers, found.missing_terms) == (1.0, (), ())


@given(texts, texts)
def test_what_stands_in_a_text_also_does_without_spaces_and_marks(claim: str, rest: str) -> None:
    """The cheap test that goes before the exact one refuses nothing that this would take."""
    ground = f"{rest} {claim} {rest}"
    if contains(ground, claim):
        assert comparable(claim) in comparable(ground)


@given(texts, texts)
def test_shares_are_shares(claim: str, ground: str) -> None:
    found = support(claim, ground)
    assert 0 <= found.share <= 1
    assert all(0 <= length <= len(term) for term, length in found.carried)


@given(sentence, sentence)
def test_a_number_that_the_text_lacks_is_told(claim: str, ground: str) -> None:
    assert "7531" in support(f"{claim} 7531", ground).missing_numbers


@pytest.mark.parametrize(
    ("claim", "ground", "share"),
    [
        ("船体は檜", "檜の船", 0.33),
        ("made of oak", "The hull is oak", 0.33),
        ("船体由柏木制成", "船体是柏木做的", 0.57),
        ("ตัวเรือทำจากไม้สน", "ไม้สนเป็นวัสดุ", 0.28),
    ],
)
def test_part_of_a_claim_is_carried_in_part(claim: str, ground: str, share: float) -> None:
    assert support(claim, ground).share == pytest.approx(share, abs=0.03)
