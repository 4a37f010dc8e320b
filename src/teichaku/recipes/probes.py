"""What the answers to a probe are worth, and which epoch did best by them."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from teichaku.core.records import Answer
from teichaku.evaluation.scorers import SCORERS, headline_scorer


def probe_scorer(scorers: Sequence[str]) -> str:
    """The scorer that probes go by, of a recipe's ``scorers``. A judge is too slow for a probe:
    character F1 stands in for it.
    """
    name = headline_scorer(scorers)
    return name if name in SCORERS else "character_f1"


def probe_quality(answers: Sequence[Answer], references: Mapping[str, str], scorer: str) -> float:
    """The mean of ``scorer``, by the ``references`` of the questions; failed answers do not count.
    0 where none is left.
    """
    pairs = [(references[a.question_id], a.text) for a in answers if not a.error]
    return fmean(SCORERS[scorer](*pair) for pair in pairs) if pairs else 0.0


def best_epoch(
    probes: Mapping[int, Sequence[Answer]], references: Mapping[str, str], scorer: str
) -> int:
    """The epoch of ``probes`` that did best by ``scorer``, then by character F1, then the later.

    Epochs are compared on the questions that all of them answered: one that lost the hard ones
    to failed requests is not better for it. One that answered none is chosen only where none did.
    """
    answered = {
        epoch: {answer.question_id for answer in answers if not answer.error}
        for epoch, answers in probes.items()
    }
    compared = {epoch: ids for epoch, ids in answered.items() if ids} or answered
    common = set.intersection(*compared.values())

    def did(epoch: int) -> tuple[float, float, int]:
        shared = [answer for answer in probes[epoch] if answer.question_id in common]
        return (
            probe_quality(shared, references, scorer),
            probe_quality(shared, references, "character_f1"),
            epoch,
        )

    return max(compared, key=did)
