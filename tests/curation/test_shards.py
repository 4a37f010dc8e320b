from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages import texts
from made import example, passage
from teichaku.core.records import Dropped, Example
from teichaku.curation.duplicates import drop_duplicates
from teichaku.curation.shards import Decision, ExactDuplicates, Sketch, Texts, fallen, label

BOAT, FERRY = passage(), passage("定員：12人", "渡し船しらさぎ")


@given(st.lists(texts), st.data())
def test_texts_are_read_as_they_were_stored(stored: list[str], data: st.DataObject) -> None:
    found = Texts.of(stored)
    assert len(found) == len(stored)
    rows = data.draw(st.lists(st.integers(0, len(stored) - 1))) if stored else []
    assert found.read(rows) == [stored[row] for row in rows]


def test_half_a_surrogate_pair_does_not_stop_a_shard() -> None:
    assert Texts.of(["a\ud83d", "船"]).read([0, 1]) == ["a?", "船"]


def together(parts: Sequence[Sketch]) -> Sketch:
    """The sketches of several shards as one."""
    arrays = {key: np.concatenate([part.arrays[key] for part in parts]) for key in parts[0].arrays}
    stored = {
        key: Texts.of([text for p in parts for text in p.texts[key].read(range(len(p.texts[key])))])
        for key in parts[0].texts
    }
    return Sketch(arrays, stored)


@st.composite
def example_lists(draw: st.DrawFn) -> list[Example]:
    """Examples of two documents, of which many say the same."""
    words = st.sampled_from(
        ["定員は何人ですか。", "定員は何人?", "料金は？", "", "What is it?", "ราคา"]
    )
    answers = st.sampled_from(["48人", "４８人", "1,800円", "x"])
    rows = draw(st.lists(st.tuples(words, answers, st.sampled_from([BOAT, FERRY])), max_size=12))
    return [
        example(question, answer, of, id=f"{place:02d}")
        for place, (question, answer, of) in enumerate(draw(st.permutations(rows)))
    ]


@given(example_lists(), st.integers(1, 4))
def test_shards_lose_the_same_duplicates_as_one_list(rows: list[Example], shard: int) -> None:
    expected = {
        record.record_id: record.reason
        for record in drop_duplicates(rows)
        if isinstance(record, Dropped)
    }
    step = ExactDuplicates()
    cut = [rows[start : start + shard] for start in range(0, len(rows), shard)] or [[]]
    decision = step.decide(together([step.sketch(part, None) for part in cut]))
    decision.check()
    found = {
        rows[row].id: decision.reasons[decision.reason[row]]
        for row in np.flatnonzero(~decision.keep)
    }
    assert found == expected


def test_what_falls_names_what_stays_and_how_alike_they_are() -> None:
    rows = [example("定員は？", "48人", id="a"), example("定員は?", "48 人", id="b")]
    step = ExactDuplicates()
    decision = step.decide(step.sketch(rows, None))
    labels = Texts.of([label(row, f"舟.jsonl#{n}") for n, row in enumerate(rows, 1)])
    (record,) = fallen([(1, rows[1])], decision, labels)
    assert record.record_id == "b"
    assert record.evidence == "a (舟.jsonl#1): 定員は？ stays; similarity 1.0000"


def test_a_row_may_not_fall_for_one_that_falls() -> None:
    keep, witness = np.array([False, False, True]), np.array([1, 2, -1])
    chain = Decision(keep, np.zeros(3, np.uint8), witness, np.full(3, np.nan), ("duplicate",))
    with pytest.raises(AssertionError):
        chain.check()
