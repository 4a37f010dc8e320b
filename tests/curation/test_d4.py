"""D4: in, out and why add up; the second clustering matters; floors hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teichaku.curation.clusters import draws, on_grid
from teichaku.curation.d4 import D4Settings, beyond_prototypes, d4, d4_rows
from teichaku.curation.similar_pairs import clustered


def crowd(rows: int, planted: int, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Rows around few topics; the first ``planted`` are near copies of the last row alone."""
    random = np.random.default_rng(seed)
    topics = random.normal(size=(6, 32))
    made = topics[random.integers(0, 6, rows)] + 0.7 * random.normal(size=(rows, 32))
    made[:planted] = made[-1] + 0.02 * random.normal(size=(planted, 32))
    return [f"{row:04}" for row in range(rows)], on_grid(made)


def test_near_ones_fall_first_by_hand() -> None:
    labels = np.array([0, 0, 0, 1, 1])
    similarity = np.array([0.9, 0.5, 0.7, 0.8, 0.6], np.float32)
    drawn = np.arange(5, dtype=np.uint64)

    def kept(wanted: int, drop: str, floor: float) -> list[int]:
        found = beyond_prototypes(labels, similarity, drawn, wanted, drop, floor)  # type: ignore[arg-type]
        return np.flatnonzero(found).tolist()

    assert kept(3, "near", 0.0) == [1, 2, 4]
    assert kept(3, "far", 0.0) == [0, 2, 3]
    # The far ones are those of cluster 0 first; half of cluster 1 stays all the same.
    assert kept(1, "near", 0.0) == [1]
    assert kept(2, "near", 0.5) == [1, 2, 4]
    assert kept(5, "near", 0.0) == [0, 1, 2, 3, 4]
    assert kept(0, "near", 0.0) == []


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 1000),
    st.sampled_from(["near", "far"]),
    st.floats(0, 1),
    st.floats(0.1, 1),
)
def test_all_are_kept_or_dropped_and_order_changes_nothing(
    seed: int, drop: str, floor: float, share: float
) -> None:
    ids, vectors = crowd(200, 30, seed)
    chosen = D4Settings(share=share, drop=drop, floor=floor)  # type: ignore[arg-type]
    found = d4(ids, vectors, chosen, seed=seed)
    assert sorted([*found.kept, *found.dropped]) == ids
    order = np.random.default_rng(seed).permutation(200)
    again = d4([ids[row] for row in order], vectors[order], chosen, seed=seed)
    assert again.kept == found.kept
    assert dict(again.dropped) == dict(found.dropped)
    if floor == 0:
        assert len(found.kept) == pytest.approx(share * 200, abs=4)


@pytest.mark.parametrize(
    ("drop", "other"), [("near", "near_prototype"), ("far", "far_from_prototype")]
)
def test_reasons_name_the_duplicate_that_stays_or_fell_later_or_the_prototype(
    drop: str, other: str
) -> None:
    ids, vectors = crowd(300, 60)
    chosen = D4Settings(share=0.5, drop=drop)  # type: ignore[arg-type]
    found = d4(ids, vectors, chosen)
    reasons = [reason for reason, _ in found.dropped.values()]
    assert reasons.count("semantic_duplicate") == pytest.approx(75, abs=3)
    assert set(reasons) == {"semantic_duplicate", other}
    duplicates = {n: e for n, (r, e) in found.dropped.items() if r == "semantic_duplicate"}
    dedup = d4_rows(vectors, draws(ids, 0), chosen).deduplicated.standing
    told = set()
    for name, evidence in duplicates.items():
        witness, _, rest = evidence.partition(" ")
        fate, _, similarity = rest.partition("; ")
        told.add(fate)
        if fate == "stays":
            assert witness in found.kept
        else:
            assert found.dropped[witness][0] == other
        assert dedup.witness[ids.index(name)] == ids.index(witness)
        cosine = dedup.similarity[ids.index(name)]
        assert similarity.startswith(f"similarity {cosine:.4f}, threshold ")
    assert told == {"stays", f"was kept for it, and fell later ({other})"}


def test_clusters_anew_are_not_those_that_duplicates_made() -> None:
    # A third of all rows are copies of one: before they fall they hold centroids of their own.
    ids, vectors = crowd(600, 200)
    drawn = draws(ids, 0)
    result = d4_rows(vectors, drawn, D4Settings(share=0.3, dedup_share=0.6))
    left = np.flatnonzero(result.deduplicated.standing.keep)
    assert (left < 200).sum() < 30
    before = result.deduplicated.members.labels[:200, 0]
    taken_up = len(set(before.tolist()))
    anew, similarity = clustered(vectors, drawn, left)
    assert taken_up < result.deduplicated.members.count
    np.testing.assert_array_equal(result.prototype_similarity[left], similarity)
    # Without the second clustering another set would have been kept.
    first = result.deduplicated.members.labels[left, 0]
    stale = beyond_prototypes(
        first, result.deduplicated.centroid_similarity[left], drawn[left], 180, "near", 0.0
    )
    assert set(left[stale]) != set(np.flatnonzero(result.keep))
    assert anew.count < result.deduplicated.members.count


def test_a_floor_keeps_a_share_of_each_new_cluster() -> None:
    ids, vectors = crowd(400, 50)
    drawn = draws(ids, 0)
    result = d4_rows(vectors, drawn, D4Settings(share=0.3, drop="near", floor=0.3))
    left = np.flatnonzero(result.deduplicated.standing.keep)
    members, _ = clustered(vectors, drawn, left)
    for cluster in range(members.count):
        own = left[members.labels[:, 0] == cluster]
        assert result.keep[own].sum() >= 0.3 * len(own)


def test_without_a_score_is_told() -> None:
    ids, vectors = crowd(50, 10)
    scores = np.linspace(0, 1, 50)
    scores[7] = np.nan
    found = d4(ids, vectors, D4Settings(which_to_keep="score"), scores=scores)
    assert found.without_score == {"0007"}


def test_a_small_share_of_few_keeps_one() -> None:
    ids, vectors = crowd(5, 0)
    assert len(d4(ids, vectors, D4Settings(share=0.1, drop="near", floor=0.0)).kept) == 1
