"""Every cell of the tables, and that the diagnosis never contradicts the verdict."""

from collections.abc import Iterator
from itertools import product
from typing import get_args

import pytest

from teichaku.core.records import Score
from teichaku.report.diagnosis import (
    KNOWLEDGE,
    REMEDIES,
    WAYS,
    Ability,
    AgainstRetrieval,
    Diagnosis,
    Knowledge,
    Remedy,
    Way,
    ability_of,
    against_retrieval,
    diagnose,
)
from teichaku.report.evidence import Arm
from teichaku.report.sentences import diagnosis_in_words, sentences
from teichaku.report.study import Cell
from teichaku.report.tables import Estimate, cells
from teichaku.report.verdict import NO_QUESTIONS, UNFINISHED, Verdict, decide
from teichaku.report.wording import Wording


def found(value: float, low: float, high: float, n: int = 40) -> Estimate:
    return Estimate(value, low, high, n, 8, 0)


LEVEL = found(0.5, 0.4, 0.6)
DIFFERENCES: dict[str, Estimate | None] = {
    "up": found(0.4, 0.3, 0.5),
    "slight": found(0.04, 0.01, 0.07),
    "flat": found(0.01, -0.1, 0.1),
    "wide": found(0.2, -0.01, 0.45),
    "absent": None,
    "down": found(-0.3, -0.4, -0.2),
}
READINGS = tuple(DIFFERENCES)
CONTROLS: dict[str, Estimate | None] = {
    "forgets": found(-0.1, -0.15, -0.06),
    "loses": found(-0.03, -0.058, -0.002),
    "slips": found(-0.02, -0.04, -0.01),
    "kept": found(0.0, -0.03, 0.03),
    "gained": found(0.03, 0.01, 0.05),
    "unclear": found(-0.05, -0.2, 0.1),
    "unasked": None,
}


def cell(kind: str, difference: Estimate | None, condition: str = "closed_book") -> Cell | None:
    if difference is None:
        return None
    return Cell(kind, condition, "containment", LEVEL, LEVEL, difference)


def rows_of(
    trained: str, other: str, ability: str = "unasked", kind: str = "held_out"
) -> list[Cell]:
    asked = [
        cell("trained", DIFFERENCES[trained]),
        cell(kind, DIFFERENCES[other]),
        cell("control", CONTROLS[ability]),
        cell("all", LEVEL),
    ]
    return [row for row in asked if row is not None]


def told(rows: list[Cell], gap: str = "absent", **against: str) -> tuple[Verdict, Diagnosis]:
    """Verdict and diagnosis; ``gap`` is that to the open book."""
    kinds = ("trained", "held_out", "independent", "unseen")
    opened = [row for kind in kinds if (row := cell(kind, DIFFERENCES[gap], "open_book"))]
    verdict = decide([row for row in rows if row.question_kind != "control"], opened)
    compared = {
        name: cell("x", DIFFERENCES[reading], "retrieval") for name, reading in against.items()
    }
    retrieval = {kind: AgainstRetrieval(**compared) for kind in kinds}
    return verdict, diagnose(verdict, rows, retrieval)


L, S, M, D, N, W, H, U = (
    "learnt", "learnt_a_little", "memorised_wording", "did_not_take", "not_learnt",
    "wording_untested", "harmed", "untold",
)  # fmt: skip
#: Down: the wording of training; across: another wording, in the order of READINGS.
GRID: dict[str, tuple[str, ...]] = {
    "up": (L, S, M, U, W, H),
    "slight": (L, S, D, U, S, H),
    "flat": (L, S, D, U, D, H),
    "wide": (L, S, N, U, U, H),
    "absent": (L, S, N, U, U, H),
    "down": (H, H, H, H, H, H),
}


@pytest.mark.parametrize("kind", ["held_out", "independent"])
@pytest.mark.parametrize(("trained", "other"), list(product(READINGS, READINGS)))
def test_what_became_of_what_was_taught(trained: str, other: str, kind: str) -> None:
    _, diagnosis = told(rows_of(trained, other, kind=kind))
    assert diagnosis.knowledge == GRID[trained][READINGS.index(other)]


@pytest.mark.parametrize("name", sorted(CONTROLS))
def test_what_became_of_general_ability(name: str) -> None:
    assert ability_of(cell("control", CONTROLS[name])) == name
    _, diagnosis = told(rows_of("up", "up", name))
    assert diagnosis.ability == name
    assert (diagnosis.controls is None) == (name == "unasked")


def test_the_tolerance_is_a_share_of_the_scale() -> None:
    half_a_mark = Cell("control", "closed_book", "judge", LEVEL, LEVEL, found(-0.3, -0.44, -0.1))
    assert ability_of(half_a_mark) == "slips"
    assert ability_of(half_a_mark, tolerance=0.02) == "loses"
    assert ability_of(half_a_mark, tolerance=0.01) == "forgets"
    few = Cell("control", "closed_book", "containment", LEVEL, LEVEL, found(-0.5, -0.9, -0.1, 6))
    assert ability_of(few) == "unasked"


#: By finding: what to change where ability is lost, where it slips, and otherwise; where the
#: last has no entry of its own for ability that is not known, it is the third.
EXPECTED: dict[str, dict[str, tuple[str, ...]]] = {
    "learnt": {
        "forgets": ("replay",), "slips": ("replay",), "kept": (), "gained": (),
        "unclear": ("ask_controls",), "unasked": ("ask_controls",),
    },
    "learnt_a_little": {"forgets": ("diverse_data", "replay"), "*": ("more_exposures", "diverse_data")},
    "memorised_wording": {"forgets": ("diverse_data", "replay"), "*": ("diverse_data",)},
    "did_not_take": {
        "forgets": ("check_template", "lower_learning_rate", "replay"),
        "*": ("raise_learning_rate", "raise_rank", "check_template"),
    },
    "not_learnt": {"forgets": ("ask_trained", "replay"), "*": ("ask_trained",)},
    "wording_untested": {"forgets": ("ask_other_wording", "replay"), "*": ("ask_other_wording",)},
    "harmed": {
        "forgets": ("check_data", "lower_learning_rate", "replay"),
        "*": ("check_data", "lower_learning_rate"),
    },
    "untold": {"forgets": ("ask_more", "replay"), "*": ("ask_more",)},
}  # fmt: skip
SHOWN_BY = {
    L: ("up", "up"), S: ("up", "slight"), M: ("up", "flat"), D: ("flat", "flat"),
    N: ("wide", "flat"), W: ("up", "absent"), H: ("up", "down"), U: ("up", "wide"),
}  # fmt: skip


@pytest.mark.parametrize(("knowledge", "ability"), list(product(EXPECTED, CONTROLS)))
def test_what_to_change(knowledge: str, ability: str) -> None:
    _, diagnosis = told(rows_of(*SHOWN_BY[knowledge], ability))
    assert diagnosis.knowledge == knowledge
    wanted = EXPECTED[knowledge]
    # A loss asks for the same, whether it is beyond the tolerance or may be.
    lost = "forgets" if ability == "loses" else ability
    assert diagnosis.remedies == wanted.get(lost, wanted.get("*"))


def situations() -> Iterator[tuple[Verdict, Diagnosis, tuple[str, ...]]]:
    """Every finding, ability and comparison with retrieval and the open book."""
    for shown in SHOWN_BY.values():
        for ability, gap, instead in product(CONTROLS, ("absent", "up", "flat"), READINGS):
            for adds in (("up", "up"), ("up", "flat"), ("flat", "up"), ("absent", "absent")):
                verdict, diagnosis = told(
                    rows_of(*shown, ability), gap, instead=instead, training_adds=adds[0],
                    retrieval_adds=adds[1],
                )  # fmt: skip
                yield verdict, diagnosis, (instead, *adds)


def apart() -> Iterator[tuple[Verdict, Diagnosis]]:
    """A gain at the task alone, and benchmarks alone, with every ability."""
    for ability in CONTROLS:
        control = cell("control", CONTROLS[ability])
        rows = [control] if control else []
        yield told([*rows, *filter(None, [cell("unseen", DIFFERENCES["up"])])], "flat")
        yield NO_QUESTIONS, diagnose(NO_QUESTIONS, rows)


def test_a_gain_at_the_task_alone_is_not_one_in_what_was_taught() -> None:
    verdict, diagnosis = told([*rows_of("absent", "absent"), present("unseen", "up")], "flat")
    assert (verdict.outcome, diagnosis.way) == ("generalised", "train")
    assert diagnosis.knowledge == "task_gained"
    assert diagnosis.remedies == ("ask_trained", "ask_other_wording")
    _, taught = told([*rows_of("up", "up"), present("unseen", "up")], "flat")
    assert taught.knowledge == "learnt"


def present(kind: str, reading: str) -> Cell:
    row = cell(kind, DIFFERENCES[reading])
    assert row is not None
    return row


@pytest.mark.parametrize(("ability", "remedies"), [
    ("forgets", ("replay",)), ("loses", ("replay",)), ("kept", ()), ("unclear", ("ask_controls",)),
])  # fmt: skip
def test_benchmarks_alone_tell_of_ability_alone(ability: str, remedies: tuple[str, ...]) -> None:
    diagnosis = diagnose(NO_QUESTIONS, [row for row in [cell("control", CONTROLS[ability])] if row])
    assert (diagnosis.knowledge, diagnosis.ability) == ("unasked", ability)
    assert (diagnosis.way, diagnosis.remedies) == ("benchmarks", remedies)


def test_where_training_helps_the_use_of_passages_no_other_training_is_advised() -> None:
    for ability, remedies in (("kept", ()), ("loses", ("replay",))):
        _, diagnosis = told(
            rows_of("flat", "flat", ability), "flat", instead="up", training_adds="up",
            retrieval_adds="up",
        )  # fmt: skip
        assert (diagnosis.knowledge, diagnosis.way) == ("did_not_take", "both")
        assert diagnosis.remedies == remedies


@pytest.mark.parametrize(("language", "words"), [
    ("en", ("The open book does better", "Mend retrieval first.", "cannot be told")),
    ("ja", ("正しい文書を見せれば良くなります", "まず検索を見直してください。", "分かりません")),
])  # fmt: skip
def test_what_the_intervals_do_not_carry_is_told_as_that(
    language: str, words: tuple[str, ...]
) -> None:
    verdict, diagnosis = told(rows_of("flat", "flat", "loses"), "up", instead="flat")
    wording = Wording(language)
    _, second = sentences(verdict, "containment", wording, diagnosis)
    assert second.startswith(words[0])
    assert second.endswith(words[1])
    assert words[2] in diagnosis_in_words(diagnosis, wording)["able"]


def test_a_way_is_advised_only_where_the_intervals_carry_it() -> None:
    ways = set()
    for verdict, diagnosis, (instead, training_adds, retrieval_adds) in situations():
        way, forgets = diagnosis.way, diagnosis.ability == "forgets"
        ways.add(way)
        harmed, gained = diagnosis.knowledge == H, verdict.outcome in ("learnt", "generalised")
        if way == "both":
            assert training_adds == retrieval_adds == "up"
            assert not forgets
            assert not harmed
        if way == "train":
            assert gained
            assert not forgets
            assert instead in ("flat", "down", "absent")
            assert instead != "absent" or verdict.decision == "train"
        if way == "retrieve":
            is_better = instead in ("up", "slight")
            assert is_better or (instead == "flat" and forgets and gained)
        if forgets or harmed:
            assert way in ("retrieve", "open_book", "not_yet")
        if way == "open_book":
            assert instead == "absent"
            assert verdict.decision == "open_book"
        if diagnosis.reason == "as_before":
            assert way == verdict.decision
    assert ways == set(get_args(Way)) - {"benchmarks"}


RETRIEVED = ("instead", "training_adds", "retrieval_adds")


@pytest.mark.parametrize(
    ("finding", "ability", "gap", "against", "way", "reason"),
    [
        (L, "kept", "absent", ("up", "up", "up"), "both", "each_adds"),
        (L, "kept", "absent", ("up", "flat", "up"), "retrieve", "retrieval_better"),
        (L, "kept", "absent", ("slight", "slight", "up"), "retrieve", "retrieval_better"),
        (L, "kept", "absent", ("flat", "up", "up"), "both", "each_adds"),
        (L, "kept", "absent", ("flat", "up", "flat"), "train", "training_close"),
        (L, "unclear", "up", ("flat", "flat", "flat"), "train", "training_close"),
        (L, "kept", "absent", ("down", "up", "flat"), "train", "training_better"),
        (L, "kept", "flat", ("wide", "absent", "absent"), "undecided", "retrieval_unclear"),
        (L, "forgets", "absent", ("up", "up", "up"), "retrieve", "training_forgets"),
        (L, "forgets", "absent", ("flat", "up", "up"), "retrieve", "training_forgets"),
        (L, "forgets", "absent", ("down", "up", "up"), "not_yet", "training_forgets"),
        (L, "forgets", "flat", ("absent",) * 3, "not_yet", "training_forgets"),
        (L, "forgets", "up", ("absent",) * 3, "open_book", "as_before"),
        (L, "kept", "flat", ("absent",) * 3, "train", "as_before"),
        (L, "kept", "up", ("absent",) * 3, "open_book", "as_before"),
        (M, "kept", "flat", ("up", "flat", "up"), "retrieve", "retrieval_better"),
        (M, "kept", "flat", ("flat", "flat", "flat"), "not_yet", "as_before"),
        (D, "kept", "flat", ("up", "up", "up"), "both", "uses_passages"),
        (S, "kept", "up", ("flat", "flat", "flat"), "not_yet", "retrieval_short"),
        (D, "kept", "up", ("down", "flat", "flat"), "not_yet", "retrieval_short"),
        (M, "kept", "up", ("wide", "flat", "flat"), "undecided", "retrieval_unclear"),
        (D, "kept", "up", ("up", "flat", "up"), "retrieve", "retrieval_better"),
        (L, "loses", "absent", ("flat", "flat", "flat"), "train", "training_close"),
        (U, "kept", "flat", ("down", "flat", "flat"), "undecided", "as_before"),
        (H, "kept", "flat", ("up", "up", "up"), "retrieve", "training_harms"),
        (H, "kept", "flat", ("flat", "up", "up"), "not_yet", "training_harms"),
    ],
)
def test_the_way_in_the_usual_situations(
    finding: str, ability: str, gap: str, against: tuple[str, ...], way: str, reason: str
) -> None:
    rows = rows_of(*SHOWN_BY[finding], ability)
    _, diagnosis = told(rows, gap, **dict(zip(RETRIEVED, against, strict=True)))
    assert (diagnosis.way, diagnosis.reason) == (way, reason)


def test_the_diagnosis_never_contradicts_the_verdict() -> None:
    agrees = {
        "learnt": ("learnt",), "learnt_a_little": ("slight",),
        "memorised_wording": ("wording_only",), "did_not_take": ("not_learnt",),
        "not_learnt": ("not_learnt",), "wording_untested": ("wording_untested",),
        "harmed": ("worse",),
    }  # fmt: skip
    for trained, held_out, independent, unseen in product(READINGS, repeat=4):
        asked = [cell("unseen", DIFFERENCES[unseen]), cell("independent", DIFFERENCES[independent])]
        rows = [*rows_of(trained, held_out), *(row for row in asked if row is not None)]
        verdict, diagnosis = told(rows, "flat")
        # What unseen questions show is the task, not what was taught.
        is_of_taught = verdict.shown is None or verdict.shown.question_kind != "unseen"
        if diagnosis.knowledge in agrees and is_of_taught:
            assert verdict.outcome in agrees[diagnosis.knowledge], (verdict, diagnosis)
        if verdict.outcome == "worse":
            assert diagnosis.knowledge == "harmed"
        if verdict.outcome in ("too_few", "inconclusive", "independent_only"):
            assert diagnosis.knowledge == "untold"


def test_no_line_of_a_table_is_dead_and_every_word_is_used() -> None:
    seen = [(d.knowledge, d.ability, d.remedies) for _, d, _ in situations()]
    advised = {remedy for *_, remedies in REMEDIES for remedy in remedies}
    # Which control sets to choose goes by what the untuned model can do.
    assert advised | {"abler_controls"} == set(get_args(Remedy))
    seen += [(d.knowledge, d.ability, d.remedies) for _, d in apart()]
    told_apart = {"task_gained", "unasked"}
    assert {row[-1] for row in KNOWLEDGE} | told_apart == set(get_args(Knowledge))
    assert {k for k, *_ in seen} == set(get_args(Knowledge))
    assert {ability for _, ability, _ in seen} == set(get_args(Ability))
    for *wanted, remedies in REMEDIES:
        assert any(r == remedies and wanted[0] == k and wanted[1] in ("*", a) for k, a, r in seen)
    reasons = {(d.way, d.reason) for _, d, _ in situations()}
    for *_, way, reason in WAYS:
        assert way == "as_before" or (way, reason) in reasons, (way, reason)


@pytest.mark.parametrize("verdict", [UNFINISHED, decide([], [])])
def test_where_nothing_was_measured_nothing_is_diagnosed(verdict: Verdict) -> None:
    diagnosis = diagnose(verdict, [])
    assert (diagnosis.knowledge, diagnosis.remedies) == ("untold", ())
    assert (diagnosis.way, diagnosis.reason) == (verdict.decision, "as_before")


def test_the_comparisons_with_retrieval_are_paired_by_question() -> None:
    def scores(arm: str, checkpoint: str, condition: str, values: list[float]) -> list[Score]:
        return [
            Score(f"{arm}{condition}{i}", f"q{i}", arm, checkpoint, condition, "held_out", "",  # type: ignore[arg-type]
                  f"d{i}", "containment", value)
            for i, value in enumerate(values)
        ]  # fmt: skip

    rows = cells(
        [
            *scores("qa", "epoch-2", "closed_book", [1, 0, 0, 0]),
            *scores("base", "base", "retrieval", [1, 1, 0, 0]),
            *scores("qa", "epoch-2", "retrieval", [1, 1, 1, 0]),
            *scores("qa", "epoch-1", "retrieval", [0, 0, 0, 0]),
        ]
    )
    best = Arm("qa", "base", "epoch-2")
    compared = against_retrieval(rows, "base", best, "containment")
    assert sorted(compared) == ["all", "held_out"]
    of = compared["held_out"]
    changes = [
        round(found.difference.value or 0, 6)
        for found in (of.instead, of.training_adds, of.retrieval_adds)
        if found and found.difference
    ]
    assert changes == [0.25, 0.25, 0.5]
    assert against_retrieval(cells([]), "base", best, "containment") == {}
