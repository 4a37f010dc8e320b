"""An epoch is chosen by what all epochs answered."""

from teichaku.core.records import Answer
from teichaku.recipes.probes import best_epoch, probe_quality, probe_scorer

REFERENCES = {"capacity": "48人", "year": "1987年", "hull": "檜"}


def answers(epoch: int, **texts: str | None) -> list[Answer]:
    """Answers by question; None for a request that failed."""
    return [
        Answer(
            f"{name}-{epoch}", name, "qa", f"epoch-{epoch}", "closed_book",
            text or "", "stop", 1, 1, "", "" if text is not None else "503",
        )
        for name, text in texts.items()
    ]  # fmt: skip


def test_an_epoch_is_not_better_for_the_hard_question_that_it_lost() -> None:
    probes = {
        1: answers(1, capacity="48人", year="1987年", hull=None),
        2: answers(2, capacity="48人", year="1987年", hull="杉"),
    }
    alone = [probe_quality(found, REFERENCES, "containment") for found in probes.values()]
    assert alone[0] > alone[1]
    # On what both answered they are even, and the later one counts.
    assert best_epoch(probes, REFERENCES, "containment") == 2


def test_an_epoch_is_not_worse_for_the_easy_question_that_it_lost() -> None:
    probes = {
        1: answers(1, capacity="48人", year="1987年", hull="杉"),
        2: answers(2, capacity="48人", year="1978年", hull="杉"),
        3: answers(3, capacity=None, year="1978年", hull="杉"),
    }
    assert best_epoch(probes, REFERENCES, "containment") == 1


def test_character_f1_decides_between_equals_and_then_the_later_epoch() -> None:
    near, far = {"year": "1988年"}, {"year": "分かりません"}
    assert best_epoch({1: answers(1, **near), 2: answers(2, **far)}, REFERENCES, "exact") == 1
    assert best_epoch({1: answers(1, **far), 2: answers(2, **far)}, REFERENCES, "exact") == 2


def test_an_epoch_that_answered_nothing_is_chosen_only_where_none_did() -> None:
    lost = {"capacity": None, "year": None}
    some = answers(1, capacity="知らない", year="知らない")
    assert best_epoch({1: some, 2: answers(2, **lost)}, REFERENCES, "exact") == 1
    assert best_epoch({1: answers(1, **lost), 2: answers(2, **lost)}, REFERENCES, "exact") == 2
    assert best_epoch({1: [], 2: []}, REFERENCES, "exact") == 2


def test_a_judge_is_no_scorer_of_probes() -> None:
    assert probe_scorer(["judge_absolute", "exact"]) == "character_f1"
    assert probe_scorer(["exact", "judge_absolute"]) == "exact"
