"""How far a score can be trusted is told against what is certain and what is told blind."""

from typing import Any

import numpy as np
import pytest

from teichaku.core.auroc import auroc
from teichaku.curation.blind_baselines import by_wording, in_better_direction
from teichaku.curation.novelty import PassageNovelty
from teichaku.curation.novelty_evidence import Separation, labels, separations

OLD = ["灯油ランプの芯を整える。", "馬車の車輪に油を差す。", "電報を打ちに局へ行く。"]
NEW = ["太陽電池の出力を測る。", "配車アプリの履歴を見る。", "暗号資産の残高を調べる。"]


def texts(documents: int, per_document: int, are_apart: bool, seed: int = 0) -> Any:
    """(texts, classes, documents): every other document is new; where they are apart, its
    words are too.
    """
    draws = np.random.default_rng(seed)
    made, classes, names = [], [], []
    for place in range(documents):
        for _ in range(per_document):
            pool = (NEW if place % 2 else OLD) if are_apart else OLD + NEW
            made.append("".join(draws.choice(pool, 4)))
            classes.append(bool(place % 2))
            names.append(f"d{place}")
    return made, classes, names


def test_wording_tells_texts_apart_where_it_does() -> None:
    made, classes, names = texts(12, 3, True)
    scores = by_wording(made, classes, names)
    assert scores is not None
    assert auroc(scores, classes) == 1


def test_wording_tells_nothing_where_there_is_nothing_to_tell() -> None:
    found = []
    for seed in range(20):
        made, classes, names = texts(12, 3, False, seed)
        found.append(auroc(by_wording(made, classes, names) or [], classes) or 0.0)
    assert 0.35 < float(np.mean(found)) < 0.6


def test_a_document_is_never_judged_by_its_own_words() -> None:
    """Each document has one word of its own, which tells nothing of the others."""
    made = [f"{chr(0x4E00 + 97 * place) * 6}" for place in range(10) for _ in range(3)]
    names = [str(place) for place in range(10) for _ in range(3)]
    classes = [int(name) % 2 == 0 for name in names]
    scores = by_wording(made, classes, names)
    assert scores is not None
    assert auroc(scores, classes) == pytest.approx(0.5, abs=0.25)


def test_length_does_not_count_for_wording() -> None:
    made, classes, names = texts(8, 2, True)
    longer = [text * (1 + place % 3) for place, text in enumerate(made)]
    scores = by_wording(longer, classes, names)
    assert scores is not None
    assert auroc(scores, classes) == 1


def test_too_few_documents_teach_nothing() -> None:
    assert by_wording(["a b c", "d e f", "g"], [True, False, False], ["1", "2", "3"]) is None
    assert by_wording([], [], []) is None
    assert by_wording(["", "", "", ""], [True, True, False, False], list("abcd")) == [0.0] * 4


def test_a_blind_baseline_is_taken_in_the_direction_that_does_better() -> None:
    assert in_better_direction([1, 2, 3, 4], [True, True, False, False]) == [-1, -2, -3, -4]
    assert in_better_direction([4, 3, 2, 1], [True, True, False, False]) == [4, 3, 2, 1]


def rows(documents: int = 24, per_document: int = 3, **values: Any) -> list[PassageNovelty]:
    """Every other document is later than the student; ``values`` are functions of (is it new,
    what was drawn) for the fields.
    """
    draws = np.random.default_rng(8)
    made = []
    for place in range(documents):
        is_new = bool(place % 2)
        own = draws.normal()
        for number in range(per_document):
            drawn = (own + draws.normal()) / 2**0.5
            fields = {name: f(is_new, drawn) for name, f in values.items()}
            characters = int(draws.integers(300, 800))
            fields = {"characters": characters, "date": "2020", "is_later": is_new, **fields}
            made.append(PassageNovelty(f"p{place}-{number}", f"d{place}", **fields))
    return made


def told(found: list[PassageNovelty], *methods: Any, **changes: Any) -> dict[str, Separation]:
    plain = {row.id: "同じ文章が並んでいる。" for row in found}
    made = separations(found, {**plain, **changes}, methods, 0.8)
    return {f"{row.label} {row.score}": row for row in made}


def test_a_score_that_tells_is_said_to_and_one_that_does_not_is_not() -> None:
    found = told(
        rows(
            min_k=lambda is_new, drawn: drawn - 3.0 * is_new,
            min_k_plus_plus=lambda is_new, drawn: drawn,
        ),
        "min_k", "min_k_plus_plus",
    )  # fmt: skip
    assert found["date min_k"].finding == "tells"
    assert found["date min_k_plus_plus"].finding == "nothing"
    assert (found["date min_k"].n, found["date min_k"].documents, found["date min_k"].new) == (
        72, 24, 36
    )  # fmt: skip


def test_a_score_that_goes_by_what_is_seen_blind_tells_nothing() -> None:
    """Newer texts are longer, and the score goes by their length alone."""
    found = told(
        rows(
            characters=lambda is_new, drawn: 500 + 200 * is_new + round(40 * drawn),
            min_k=lambda is_new, drawn: -(500 + 200 * is_new + round(40 * drawn)) / 1000,
        ),
        "min_k",
    )
    row = found["date min_k"]
    assert (row.finding, row.against, row.difference) == ("blind", "length", 0.0)
    assert (row.value or 0) > 0.9


def test_a_score_that_is_the_wrong_way_round_is_said_to_be() -> None:
    found = told(rows(min_k=lambda is_new, drawn: drawn + 3.0 * is_new), "min_k")
    assert found["date min_k"].finding == "reversed"


def test_one_class_or_one_document_of_it_is_not_judged() -> None:
    same = told(rows(is_later=lambda is_new, drawn: True, min_k=lambda n, drawn: drawn), "min_k")
    assert same["date min_k"].finding == "unmeasured"
    assert same["date min_k"].value is None
    few = told(rows(2, min_k=lambda is_new, drawn: drawn), "min_k")
    assert few["date min_k"].finding == "few"


def test_a_label_judges_the_other_scores_and_not_itself() -> None:
    made = rows(
        asked=lambda is_new, drawn: 4,
        right=lambda is_new, drawn: 0 if is_new else 4,
        min_k=lambda is_new, drawn: drawn,
    )
    found = told(made, "probing", "date", "min_k")
    methods = {name for name, row in found.items() if not row.is_baseline}
    assert methods == {"date probing", "date min_k", "probing date", "probing min_k"}
    assert found["date probing"].value == 1
    # A label made of dates is not compared with dates.
    assert "date age" not in found
    assert "probing age" in found


def test_what_has_no_label_is_left_out() -> None:
    made = [
        PassageNovelty("a", "d", 1, is_later=True),
        PassageNovelty("b", "d", 1, asked=4, right=4),
        PassageNovelty("c", "d", 1),
    ]
    assert labels(made, 0.8) == {"date": {"a": True}, "probing": {"b": False}}
    assert labels([made[2]], 0.8) == {}
    assert separations([made[2]], {"c": ""}, ["min_k"], 0.8) == []


def test_a_passage_without_a_score_is_not_counted() -> None:
    made = rows(min_k=lambda is_new, drawn: drawn if drawn > 0 else None)
    row = told(made, "min_k")["date min_k"]
    assert row.n == sum(r.min_k is not None for r in made)
