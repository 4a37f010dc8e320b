import pytest
from hypothesis import given

from languages import sentence, texts
from teichaku.core.support import Alignment, aligned, alignments, support
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


HARBOUR = (
    "遊覧船あおば丸は1987年に建造された。船体は檜でできている。定員は48人で、料金は1,800円である。"
)


@pytest.mark.parametrize(
    ("claim", "least", "piece", "window"),
    [
        ("船体は檜でできています。", 0.8, "船体は檜でできている。", "船体は檜でできている"),
        ("料金は１８５０円である", 0.8, "定員は48人で、料金は1,800円である。", "料金は1800円である"),
        ("船体は檜でできている。定員は48名で、料金は1,800円である。", 0.9,
         "船体は檜でできている。\n定員は48人で、料金は1,800円である。", "船体は檜でできている定員は48人で料金は1800円である"),
    ],
)  # fmt: skip
def test_a_claim_is_put_beside_the_sentences_that_it_comes_from(
    claim: str, least: float, piece: str, window: str
) -> None:
    found = aligned(claim, HARBOUR, least)
    assert least <= found.share < 1
    assert (found.piece, found.window) == (piece, window)


def test_a_claim_that_comes_from_nowhere_has_no_place() -> None:
    assert aligned("機関はディーゼルである。", HARBOUR, 0.8) == Alignment(0.0, "", "")
    assert alignments("機関はディーゼルである。", HARBOUR, 0.8) == ()
    assert aligned("", HARBOUR).share == aligned("。！", "").share == 1
    assert aligned("檜", "").share == 0


def test_a_sentence_is_found_whatever_its_numbers_are_and_the_one_with_the_same_comes_first() -> (
    None
):
    clauses = "第11条の割引は二割とする。第12条の割引は3割とする。"
    first, second = alignments("第12条の割引は、5割とする。", clauses, 0.9)
    assert (first.window, second.window) == ("第12条の割引は3割とする", "第11条の割引は二割とする")
    assert 0.9 <= second.share == first.share < 1


def test_a_number_that_is_part_of_a_longer_one_does_not_stand_there() -> None:
    assert aligned("定員は8人", "定員は48人").share < 1
    assert aligned("定員は48人", "定員は48人").share == 1


@given(texts, texts)
def test_what_stands_in_a_text_is_aligned_wholly(claim: str, before: str) -> None:
    ground = f"{before}。\n{claim}\n。おわり"
    found = aligned(claim, ground)
    assert found.share == 1 or not contains(ground, claim)


@given(texts, texts)
def test_an_alignment_is_a_share_of_a_piece_that_stands_in_the_text(
    claim: str, ground: str
) -> None:
    found = aligned(claim, ground)
    assert 0 <= found.share <= 1
    assert found.share == 1 or found.window in comparable(found.piece)
    assert found.share == 1 or comparable(found.piece.split("\n")[0]) in comparable(ground)
