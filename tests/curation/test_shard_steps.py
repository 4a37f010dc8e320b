"""Steps over shards decide just as the filters do over one list."""

import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made import example, passage
from teichaku.core.models import Embedder
from teichaku.core.records import Dropped, Example
from teichaku.curation import near_duplicates, semantic_filter, shards
from teichaku.curation.clusters import on_grid
from teichaku.curation.d4 import D4Settings, d4
from teichaku.curation.duplicates import drop_duplicates
from teichaku.curation.near_duplicates import longest
from teichaku.curation.shard_steps import (
    D4,
    ExactDuplicates,
    NearDuplicates,
    SemanticDuplicates,
)
from teichaku.curation.shards import Decision, FanIn, Sketch, Texts

BOAT, FERRY = passage(), passage("定員：12人", "渡し船しらさぎ")
PIECES = [
    "この遊覧船は一九八七年に造られ、港のまわりを一時間ほどで一周する。",
    "船体は檜でできていて、毎年の春に塗り直される。",
    "料金は大人が1,800円、子どもが900円です。",
    "料金は大人が2,800円、子どもが900円です。",
    "The ferry leaves every hour and takes about forty minutes to cross the bay.",
    "เรือลำนี้สร้างในปี 2530 และยังแล่นอยู่ทุกวัน",
]


def together(parts: Sequence[Sketch]) -> Sketch:
    """The sketches of several shards as one."""
    arrays = {}
    for key in parts[0].arrays:
        filled = [part.arrays[key] for part in parts if len(part.arrays[key])]
        arrays[key] = np.concatenate(filled or [parts[0].arrays[key]])
    stored = {
        key: Texts.of([text for p in parts for text in p.texts[key].read(range(len(p.texts[key])))])
        for key in parts[0].texts
    }
    return Sketch(arrays, stored)


def decide(
    step: FanIn, rows: Sequence[Example], shard: int, vectors: np.ndarray | None = None
) -> Decision:
    cuts = range(0, len(rows), shard)
    parts = [
        step.sketch(rows[at : at + shard], None if vectors is None else vectors[at : at + shard])
        for at in cuts
    ]
    decision = step.decide(together(parts or [step.sketch([], np.zeros((0, 4), np.float32))]))
    decision.check()
    return decision


def fallen(rows: Sequence[Example], decision: Decision) -> dict[str, tuple[str, str]]:
    """Reason and witness of what falls, by id."""
    return {
        rows[row].id: (
            decision.reasons[decision.reason[row]],
            rows[decision.witness[row]].id if decision.witness[row] >= 0 else "",
        )
        for row in np.flatnonzero(~decision.keep).tolist()
    }


@st.composite
def example_lists(draw: st.DrawFn) -> list[Example]:
    """Questions with answers and running texts of two documents, many of them nearly the same."""
    piece = st.sampled_from(PIECES)
    said = st.one_of(
        piece,
        st.tuples(piece, piece).map("".join),
        st.tuples(piece, st.sampled_from(["。", "！", "です", "号"])).map("".join),
    )
    questions = st.one_of(st.just(""), said)
    rows = draw(st.lists(st.tuples(questions, said, st.sampled_from([BOAT, FERRY])), max_size=14))
    return [
        example(question, answer, of, id=f"{place:02d}")
        for place, (question, answer, of) in enumerate(rows)
    ]


@settings(max_examples=60)
@given(example_lists(), st.integers(1, 5), st.booleans(), st.randoms())
def test_near_duplicates_fall_in_shards_as_in_one_list(
    rows: list[Example], shard: int, guard: bool, random: Random
) -> None:
    levels = {"question": 0.7, "pair": 0.8, "text": 0.6}
    whole = near_duplicates.NearDuplicates(levels, longest, guard)
    expected = {
        record.record_id: record.reason for record in whole(rows) if isinstance(record, Dropped)
    }
    random.shuffle(rows)
    decision = decide(NearDuplicates(levels, longest, guard), rows, shard)
    found = fallen(rows, decision)
    assert {name: reason for name, (reason, _) in found.items()} == expected
    witnesses = {
        record.record_id: record.evidence.split(" like ")[1].partition(" ")[0]
        for record in whole(rows)
        if isinstance(record, Dropped)
    }
    assert {name: witness for name, (_, witness) in found.items()} == witnesses


@settings(max_examples=60)
@given(example_lists(), st.integers(1, 5), st.data())
def test_exact_duplicates_fall_in_shards_as_in_one_list(
    rows: list[Example], shard: int, data: st.DataObject
) -> None:
    rows += [replace(row, id=f"{row.id}-again", answer=f"{row.answer}。") for row in rows[::2]]
    scores = {row.id: data.draw(st.sampled_from([None, -1.0, 0.0, 2.5])) for row in rows}
    rank = data.draw(st.sampled_from([longest, lambda row: scores[row.id]]))
    expected = {
        record.record_id: (record.reason, record.evidence.partition(" ")[0])
        for record in drop_duplicates(rows, rank)
        if isinstance(record, Dropped)
    }
    decision = decide(ExactDuplicates(rank), rows, shard)
    assert fallen(rows, decision) == expected
    for row in np.flatnonzero(~decision.keep).tolist():
        is_same = decision.reasons[decision.reason[row]] == "duplicate"
        assert np.isnan(decision.similarity[row]) != is_same


@dataclass
class Given(Embedder):
    """An embedder with vectors by text."""

    vectors: dict[str, np.ndarray]

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        return np.stack([self.vectors[text] for text in texts])


def planted(count: int, seed: int) -> np.ndarray:
    """Vectors of which every third is nearly the one before it."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(count, 16))
    vectors[2::3] = vectors[1::3][: len(vectors[2::3])] + random.normal(
        scale=0.05, size=vectors[2::3].shape
    )
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


@pytest.mark.parametrize("shard", [1, 7, 100])
@pytest.mark.parametrize("measure", [(0.9, None), (None, 0.7)])
def test_semantic_duplicates_fall_in_shards_as_in_one_list(
    shard: int, measure: tuple[float | None, float | None]
) -> None:
    rows = [
        example(f"質問{'あいうえお'[n % 5]}{chr(0x4E00 + n)}は？", "答え", id=f"{n:02d}")
        for n in range(60)
    ]
    vectors = planted(60, 1)
    embedder = Given({row.asked: vector for row, vector in zip(rows, vectors, strict=True)})
    whole = semantic_filter.SemanticDuplicates(lambda texts: embedder, *measure, seed=3)
    expected = {
        record.record_id: record.evidence.split(" like ")[1].partition(" ")[0]
        for record in whole(rows)
        if isinstance(record, Dropped)
    }
    assert len(expected) >= 15
    decision = decide(SemanticDuplicates(*measure, seed=3), rows, shard, vectors)
    assert {name: witness for name, (_, witness) in fallen(rows, decision).items()} == expected
    assert set(decision.reasons) == {"semantic_duplicate"}


@pytest.mark.parametrize("drop", ["near", "far"])
@pytest.mark.parametrize("shard", [1, 7, 100])
def test_d4_decides_in_shards_as_a_selection_of_a_study_does(shard: int, drop: str) -> None:
    # Of every other near copy the clause is another one: such rows are no duplicates.
    clauses = [n if n // 3 % 2 else 12 for n in range(60)]
    rows = [
        example(f"第{clause}条の割引は？", "二割", id=f"{n:02d}")
        for n, clause in enumerate(clauses)
    ]
    vectors = planted(60, 2)
    chosen = D4Settings(share=0.5, dedup_share=0.75, drop=drop)  # type: ignore[arg-type]
    ids, texts = [row.id for row in rows], [row.whole for row in rows]
    guard = semantic_filter.unless_told_apart(texts)
    whole = d4(ids, on_grid(vectors), chosen, allowed=guard, seed=3)
    decision = decide(D4(chosen, seed=3), rows, shard, vectors)
    assert {row.id for row, keep in zip(rows, decision.keep, strict=True) if keep} == {*whole.kept}
    assert set(whole.kept) != set(d4(ids, on_grid(vectors), chosen, seed=3).kept)
    labels = Texts.of(ids)
    gone = [(n, row) for n, row in enumerate(rows) if not decision.keep[n]]
    fates = set()
    for record in shards.fallen(gone, decision, labels):
        reason, evidence = whole.dropped[record.record_id]
        assert record.reason == reason
        witness, _, fate = record.evidence.partition(";")[0].partition(" ")
        if reason == "semantic_duplicate":
            assert evidence.startswith(record.evidence)
            assert clauses[int(witness)] == clauses[int(record.record_id)]
            assert (fate == "stays") == (witness in whole.kept)
            fates.add(fate)
        else:
            cosine = evidence.split()[1]
            assert record.evidence == f"similarity {cosine}"
    far = "near_prototype" if drop == "near" else "far_from_prototype"
    assert fates == {"stays", f"was kept for it, and fell later ({far})"}


def test_one_long_id_takes_no_room_for_every_row() -> None:
    rows = [example("", f"{n}番", id=f"{n}") for n in range(500)]
    rows[7] = replace(rows[7], id="7" * 20_000)
    step = NearDuplicates({"text": 0.8})
    sketched = step.sketch(rows, None)
    tracemalloc.start()
    step.decide(sketched)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_no_rows_are_no_trouble() -> None:
    for step in (
        ExactDuplicates(),
        NearDuplicates({"pair": 0.8}),
        SemanticDuplicates(0.9),
        D4(D4Settings()),
    ):
        assert decide(step, [], 3).keep.tolist() == []
