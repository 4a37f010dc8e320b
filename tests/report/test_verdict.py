"""What may be said, and what must not be said, in each situation."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import product
from typing import get_args

import pytest

from teichaku.report.sentences import sentences
from teichaku.report.study import Cell
from teichaku.report.tables import Estimate
from teichaku.report.verdict import (
    MINIMUM_DOCUMENTS,
    MINIMUM_QUESTIONS,
    NO_QUESTIONS,
    UNFINISHED,
    Decision,
    Outcome,
    Verdict,
    decide,
    direction,
    margin,
)
from teichaku.report.wording import Wording


def found(value: float, low: float | None, high: float | None, n: int = 40) -> Estimate:
    return Estimate(value, low, high, n, 8, 0)


UP, SLIGHT, FLAT = found(0.4, 0.3, 0.5), found(0.04, 0.01, 0.07), found(0.01, -0.1, 0.1)
DOWN, WIDE = found(-0.3, -0.4, -0.2), found(0.2, -0.01, 0.45)
FEW = Estimate(0.5, 0.1, 0.9, 6, 3, 0)
LEVEL = found(0.5, 0.4, 0.6)
READINGS = {"up": UP, "slight": SLIGHT, "flat": FLAT, "down": DOWN, "wide": WIDE}
#: Kinds that were not asked, or not often enough, carry nothing.
CASES: dict[str, Estimate | None] = {**READINGS, "absent": None, "few": FEW}
KINDS = ("trained", "held_out", "unseen")


@pytest.mark.parametrize(
    ("figure", "wanted"),
    [
        (UP, "up"),
        (DOWN, "down"),
        (WIDE, ""),
        (FEW, ""),
        (replace(UP, documents=MINIMUM_DOCUMENTS - 1), ""),
        (replace(UP, n=MINIMUM_QUESTIONS - 1), ""),
    ],
)
def test_a_difference_is_coloured_only_where_the_verdict_may_claim_it(
    figure: Estimate, wanted: str
) -> None:
    assert direction(asdict(figure)) == wanted


def scaled(estimate: Estimate, scorer: str) -> Estimate:
    """A difference of shares as one of marks from 1 to 10."""
    if scorer != "judge" or estimate.value is None:
        return estimate
    low, high = (None if bound is None else 9 * bound for bound in (estimate.low, estimate.high))
    return replace(estimate, value=9 * estimate.value, low=low, high=high)


def cell(
    kind: str,
    difference: Estimate | None,
    condition: str = "closed_book",
    scorer: str = "containment",
) -> Cell:
    change = scaled(difference, scorer) if difference else None
    return Cell(kind, condition, scorer, LEVEL, LEVEL if change else None, change)


def gaps(difference: Estimate | None, scorer: str = "containment") -> list[Cell]:
    return [cell(kind, difference, "open_book", scorer) for kind in (*KINDS, "all")]


def verdict_of(case: tuple[str, ...], gap: Estimate | None, scorer: str = "containment") -> Verdict:
    pairs = zip(KINDS, case, strict=True)
    rows = [cell(kind, CASES[name], scorer=scorer) for kind, name in pairs if CASES[name]]
    everything = cell("all", LEVEL, scorer=scorer)
    return decide([*rows, everything], gaps(gap, scorer))


def situations() -> Iterator[tuple[dict[str, str], str, Verdict]]:
    """Every reading of every kind and of the open book, on both scales."""
    for scorer in ("containment", "judge"):
        for case in product(CASES, CASES, CASES):
            read = {
                kind: "absent" if name == "few" else name
                for kind, name in zip(KINDS, case, strict=True)
            }
            for gap, difference in CASES.items():
                verdict = verdict_of(case, difference, scorer)
                yield read, "absent" if gap == "few" else gap, verdict


def with_independent() -> Iterator[tuple[dict[str, str], Verdict]]:
    """Every reading of held-out and independent questions, beside some of the others."""
    kinds = ("trained", "held_out", "independent", "unseen")
    for scorer in ("containment", "judge"):
        for case in product(("absent", "up", "down"), CASES, CASES, ("absent", "up", "down")):
            cases = dict(zip(kinds, case, strict=True))
            read = {kind: "absent" if name == "few" else name for kind, name in cases.items()}
            rows = [cell(kind, CASES[name], scorer=scorer) for kind, name in cases.items()]
            rows = [row for row in rows if row.difference] or [cell("all", LEVEL, scorer=scorer)]
            opened = [cell(kind, FLAT, "open_book", scorer) for kind in kinds]
            yield read, decide(rows, opened)


def test_questions_made_apart_count_as_other_wording() -> None:
    for read, verdict in with_independent():
        shown = verdict.shown.question_kind if verdict.shown else ""
        beside = verdict.beside.question_kind if verdict.beside else ""
        assert (verdict.outcome == "worse") == ("down" in read.values()), (read, verdict)
        if verdict.outcome == "worse":
            assert verdict.decision == "not_yet"
            assert read[shown] == "down"
            continue
        if read["held_out"] == "absent":
            assert (verdict.outcome == "learnt") == (read["independent"] == "up")
            assert shown != "held_out" or verdict.outcome == "too_few"
        if verdict.outcome == "learnt":
            assert read[shown] == "up"
            is_denied = read["held_out"] == "up" and read["independent"] == "flat"
            assert (beside == "independent") == is_denied, (read, verdict)
        if read["independent"] == "up":
            assert verdict.outcome not in ("wording_only", "not_learnt", "task_only"), read
        assert (verdict.outcome == "independent_only") == (
            read["independent"] == "up" and read["held_out"] in ("flat", "wide")
        )


def test_a_fall_on_questions_made_apart_is_not_hidden_by_a_gain_on_held_out_ones() -> None:
    rows = [cell("held_out", UP), cell("independent", DOWN)]
    verdict = decide(rows, gaps(FLAT))
    assert (verdict.outcome, verdict.decision) == ("worse", "not_yet")
    first, _ = sentences(verdict, "containment", Wording("en"))
    assert first.startswith("Training did harm: on questions made apart")
    assert "although on questions in a wording that training never showed it rose" in first


def test_a_gain_that_questions_made_apart_deny_is_told_with_that() -> None:
    verdict = decide([cell("held_out", UP), cell("independent", FLAT)], gaps(FLAT))
    assert (verdict.outcome, verdict.decision) == ("learnt", "train")
    for language, told in (
        ("en", "on questions made apart from the training examples the 95% interval of the "),
        ("ja", "学習例とは別に作った質問では差の 95% 区間（"),
    ):
        assert told in sentences(verdict, "containment", Wording(language))[0]


def test_where_running_text_tells_unseen_answers_a_gain_there_may_be_learning() -> None:
    for rows, before in (
        ([cell("unseen", UP)], "generalised"),
        ([cell("held_out", FLAT), cell("unseen", UP)], "task_only"),
        ([cell("independent", WIDE), cell("unseen", UP)], "task_only"),
    ):
        plain, taught = decide(rows, gaps(FLAT)), decide(rows, gaps(FLAT), True)
        assert (plain.outcome, taught.outcome) == (before, "unseen_only")
        assert (taught.shown, taught.opened, taught.beside) == (
            plain.shown, plain.opened, plain.beside
        )  # fmt: skip
        # What cannot be told is no reason to train.
        assert (taught.decision, taught.advice) == ("undecided", "ask_taught")
        assert decide(rows, gaps(UP), True).decision == "open_book"
        first, _ = sentences(taught, "containment", Wording("en"))
        assert "whether it learnt them or got better at the task cannot be told" in first
        assert not first.startswith("It got better at the task")
    learnt = [cell("held_out", UP), cell("unseen", UP)]
    assert decide(learnt, gaps(FLAT), True) == decide(learnt, gaps(FLAT))


def test_no_outcome_claims_more_than_the_intervals_carry() -> None:
    told = 0
    for read, _, verdict in situations():
        outcome, shown = verdict.outcome, verdict.shown
        kind = shown.question_kind if shown else ""
        own = read.get(kind, "absent")
        carried = {
            "learnt": read["held_out"] == "up",
            "generalised": read["unseen"] == "up" and read["held_out"] == "absent",
            "task_only": read["unseen"] == "up" and read["held_out"] in ("flat", "wide"),
            "slight": own == "slight",
            "wording_only": read["trained"] == "up"
            and read["held_out"] == "flat"
            and read["unseen"] != "up",
            "wording_untested": read["trained"] == "up" and read["held_out"] == "absent",
            # Unseen facts were never taught: their absence shows nothing.
            "not_learnt": own == "flat" and kind in ("trained", "held_out"),
            "not_generalised": own == "flat"
            and kind == "unseen"
            and read["trained"] == read["held_out"] == "absent",
            "inconclusive": own == "wide",
            "worse": own == "down",
            "too_few": set(read.values()) == {"absent"},
        }
        assert carried[outcome], (read, verdict)
        told += 1
    assert told == 2 * 7**4


def test_harm_is_never_hidden() -> None:
    for read, _, verdict in situations():
        assert (verdict.outcome == "worse") == ("down" in read.values()), (read, verdict)
        if verdict.outcome == "worse":
            assert verdict.decision in ("not_yet", "open_book")
            assert (verdict.beside is not None) == ("up" in read.values())


def test_training_is_advised_only_where_it_holds_against_the_open_book() -> None:
    for read, gap, verdict in situations():
        if verdict.decision == "train":
            assert verdict.outcome in ("learnt", "generalised")
            assert gap in ("flat", "down"), (read, gap, verdict)
            assert verdict.advice == ("train_close" if gap == "flat" else "train_better")
        if verdict.decision == "open_book":
            assert gap in ("up", "slight"), (read, gap, verdict)


def test_what_cannot_be_told_is_undecided() -> None:
    undecided = ("inconclusive", "wording_untested", "not_generalised", "task_only", "too_few")
    for read, gap, verdict in situations():
        if verdict.outcome in undecided and verdict.decision != "open_book":
            assert verdict.decision == "undecided", (read, gap, verdict)


@pytest.mark.parametrize(
    ("case", "gap", "outcome", "decision", "advice"),
    [
        (("up", "up", "absent"), FLAT, "learnt", "train", "train_close"),
        (("up", "up", "absent"), DOWN, "learnt", "train", "train_better"),
        (("up", "up", "absent"), UP, "learnt", "open_book", "open_book_although"),
        (("up", "up", "absent"), WIDE, "learnt", "undecided", "open_book_unclear"),
        (("up", "up", "absent"), None, "learnt", "undecided", "open_book_unknown"),
        (("up", "up", "down"), FLAT, "worse", "not_yet", "not_yet"),
        (("up", "slight", "absent"), FLAT, "slight", "not_yet", "not_yet"),
        (("up", "flat", "up"), FLAT, "task_only", "undecided", "ask_taught"),
        (("up", "flat", "flat"), FLAT, "wording_only", "not_yet", "not_yet"),
        (("up", "flat", "absent"), UP, "wording_only", "open_book", "open_book"),
        (("up", "wide", "absent"), FLAT, "inconclusive", "undecided", "ask_wider"),
        (("up", "down", "absent"), FLAT, "worse", "not_yet", "not_yet"),
        # academic-qa --profile full: the unseen facts were never taught.
        (("up", "absent", "flat"), FLAT, "wording_untested", "undecided", "reword"),
        (("up", "few", "absent"), FLAT, "wording_untested", "undecided", "reword"),
        (("up", "absent", "up"), FLAT, "generalised", "train", "train_close"),
        (("absent", "absent", "up"), FLAT, "generalised", "train", "train_close"),
        (("absent", "absent", "flat"), FLAT, "not_generalised", "undecided", "ask_taught"),
        (("flat", "flat", "absent"), FLAT, "not_learnt", "not_yet", "not_yet"),
        (("flat", "flat", "absent"), UP, "not_learnt", "open_book", "open_book"),
        (("wide", "absent", "flat"), FLAT, "inconclusive", "undecided", "ask_wider"),
        (("few", "few", "absent"), UP, "too_few", "undecided", "ask_more"),
    ],
)
def test_the_verdict_in_the_usual_situations(
    case: tuple[str, ...], gap: Estimate | None, outcome: str, decision: str, advice: str
) -> None:
    verdict = verdict_of(case, gap)
    assert (verdict.outcome, verdict.decision, verdict.advice) == (outcome, decision, advice)


def test_questions_in_the_words_of_some_arms_decide_nothing() -> None:
    rows = [cell("trained", FLAT), cell("held_out", FLAT)]
    for difference in READINGS.values():
        some = cell("trained_by_some", difference)
        assert decide([*rows, some], []) == decide(rows, [])
    assert decide([cell("trained_by_some", UP)], []).outcome == "too_few"


def test_the_margin_is_a_tenth_of_the_scale() -> None:
    assert [margin("containment"), margin("judge")] == pytest.approx([0.1, 0.9])
    half_a_mark = found(0.2, -0.2, 0.6)
    assert decide([Cell("held_out", "closed_book", "judge", LEVEL, LEVEL, half_a_mark)], []) == (
        Verdict(
            "not_learnt",
            "not_yet",
            "not_yet",
            Cell("held_out", "closed_book", "judge", LEVEL, LEVEL, half_a_mark),
        )
    )


def test_without_a_trained_arm_only_the_base_is_spoken_of() -> None:
    closed = Cell("all", "closed_book", "containment", LEVEL, None, None)
    assert decide([closed], []).outcome == "no_training"
    assert decide([closed], gaps(UP)).decision == "open_book"
    assert decide([closed], gaps(WIDE)).decision == "undecided"


def test_without_any_score_nothing_is_claimed() -> None:
    empty = Estimate(None, None, None, 0, 0, 12)
    rows = [Cell("all", "closed_book", "containment", empty, empty, empty)]
    assert decide(rows, []).outcome == "no_scores"
    assert decide([], []).decision == "undecided"


@pytest.mark.parametrize("scorer", ["containment", "judge"])
@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_verdict_has_words_in_its_scorers_units(language: str, scorer: str) -> None:
    words, outcomes, decisions = Wording(language), set(), set()
    base = Cell("all", "closed_book", scorer, LEVEL, None, None)
    both = (("held_out", FLAT), ("unseen", UP))
    verdicts = [
        *(verdict for _, _, verdict in situations() if verdict.shown),
        *(decide([base], gaps(gap, scorer)) for gap in (UP, None)),
        *(verdict for _, verdict in with_independent() if verdict.shown),
        decide([cell("unseen", UP, scorer=scorer)], gaps(FLAT, scorer), True),
        decide([cell(k, d, scorer=scorer) for k, d in both], gaps(FLAT, scorer), True),
        decide([], []),
        UNFINISHED,
        NO_QUESTIONS,
    ]
    for verdict in verdicts:
        if verdict.shown and verdict.shown.scorer != scorer:
            continue
        first, second = sentences(verdict, scorer, words)
        outcomes.add(verdict.outcome)
        decisions.add(verdict.decision)
        assert "–" not in (first + second).replace("1–10", "")
        if scorer == "judge":
            assert "%" not in (first + second).replace("95%", "")
            assert "pts" not in first + second
    assert outcomes == set(get_args(Outcome))
    assert decisions == set(get_args(Decision))
    assert decisions <= words.names("decisions")


@pytest.mark.parametrize("language", ["en", "ja"])
def test_retrieval_was_not_measured_and_is_not_advised(language: str) -> None:
    words = Wording(language)
    for _, _, verdict in situations():
        told = " ".join(sentences(verdict, "containment", words)).lower()
        if verdict.decision == "open_book":
            assert ("would need measuring" if language == "en" else "別に測る必要") in told
        else:
            assert "retrieval" not in told and "検索" not in told


@pytest.mark.parametrize(
    ("case", "english", "japanese"),
    [
        (("up", "up", "absent"), "It took hold", "知識は定着しました"),
        (("up", "flat", "absent"), "memorised the wording only", "言い回しを覚えただけです"),
        (("up", "wide", "absent"), "cannot be told yet", "まだ判断できません"),
        (("flat", "flat", "absent"), "did not take hold", "知識は定着していません"),
        (("few", "few", "few"), "too few questions to tell", "質問が少なすぎて判断できません"),
        (("up", "down", "absent"), "did harm", "悪くなった"),
    ],
)
def test_the_first_sentence_says_it_in_plain_words(
    case: tuple[str, ...], english: str, japanese: str
) -> None:
    for language, wanted in (("en", english), ("ja", japanese)):
        told = sentences(verdict_of(case, FLAT), "containment", Wording(language))
        assert len(told) == 2
        assert wanted in told[0]


def test_the_sentences_quote_the_figures_of_the_comparison() -> None:
    shown = Cell("held_out", "closed_book", "containment", found(0.1, 0, 0.2), LEVEL, UP)
    opened = Cell("held_out", "open_book", "containment", LEVEL, found(0.9, 0.8, 1), UP)
    verdict = Verdict("learnt", "open_book", "open_book_although", shown, opened)
    first, second = sentences(verdict, "containment", Wording("en"))
    assert "from 10% to 50% (difference +40 pts, 95% interval +30 to +50; " in first
    assert "40 questions about 8 documents" in first
    assert (
        "reaches 90%, the tuned model without it 50% (95% interval of that difference +30" in second
    )


def test_a_gain_beside_a_harm_is_told_with_it() -> None:
    first, _ = sentences(verdict_of(("up", "absent", "down"), FLAT), "judge", Wording("en"))
    assert first.startswith("Training did harm: on questions kept out of training")
    assert "although on questions in the wording of training it rose" in first


def test_a_ruled_out_gain_names_the_margin() -> None:
    for scorer, told in (("containment", "beyond 10 pts"), ("judge", "beyond 0.9 marks")):
        verdict = verdict_of(("flat", "flat", "absent"), FLAT, scorer)
        assert told in sentences(verdict, scorer, Wording("en"))[0]
