import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages import texts
from made import example
from teichaku.curation.shards import Decision, Texts, fallen, label


@given(st.lists(texts), st.data())
def test_texts_are_read_as_they_were_stored(stored: list[str], data: st.DataObject) -> None:
    found = Texts.of(stored)
    assert len(found) == len(stored)
    rows = data.draw(st.lists(st.integers(0, len(stored) - 1))) if stored else []
    assert found.read(rows) == [stored[row] for row in rows]


def test_half_a_surrogate_pair_does_not_stop_a_shard() -> None:
    assert Texts.of(["a\ud83d", "船"]).read([0, 1]) == ["a?", "船"]


def test_what_falls_names_what_stays_and_how_alike_they_are() -> None:
    rows = [example("定員は？", "48人", id="a"), example("定員は?", "48 人", id="b")]
    keep, reasons = np.array([True, False]), np.zeros(2, np.uint8)
    similarity = np.array([np.nan, 0.91234])
    decision = Decision(keep, reasons, np.array([-1, 0]), similarity, ("near_duplicate",))
    labels = Texts.of([label(row, f"舟.jsonl#{n}") for n, row in enumerate(rows, 1)])
    (record,) = fallen([(1, rows[1])], decision, labels)
    assert (record.record_id, record.reason) == ("b", "near_duplicate")
    assert record.evidence == "a (舟.jsonl#1): 定員は？ stays; similarity 0.9123"


def test_a_row_that_was_kept_for_another_and_fell_later_is_not_said_to_stay() -> None:
    rows = [example("定員は？", "48人", id="a"), example("定員は?", "48 人", id="b")]
    reasons = np.array([1, 0], np.uint8)
    told = ("semantic_duplicate", "near_prototype")
    decision = Decision(np.zeros(2, bool), reasons, np.array([-1, 0]), np.array([0.75, 0.9]), told)
    decision.check()
    first, second = fallen(enumerate(rows), decision, Texts.of(["a", "b"]))
    assert (first.reason, first.evidence) == ("near_prototype", "similarity 0.7500")
    assert second.evidence == (
        "a was kept for it, and fell later (near_prototype); similarity 0.9000"
    )


def test_a_row_is_named_on_one_line_and_else_as_it_is_worded() -> None:
    told = label(example("定員は\n何人　です  か", "48人", id="a"))
    assert told == "a: 定員は 何人　です  か"
    assert label(example("船" * 81, "48人", id="a")) == f"a: {'船' * 80}…"


def test_a_row_may_not_fall_for_one_that_falls() -> None:
    keep, witness = np.array([False, False, True]), np.array([1, 2, -1])
    chain = Decision(keep, np.zeros(3, np.uint8), witness, np.full(3, np.nan), ("duplicate",))
    with pytest.raises(AssertionError):
        chain.check()
