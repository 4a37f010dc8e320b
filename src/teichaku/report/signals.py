"""Whether anything that is there in use tells the models' right answers from their wrong ones."""

from collections.abc import Mapping, Sequence
from typing import Any

from teichaku.evaluation.signals import LEAST_OF_EACH, AnswerSignal, separations
from teichaku.report.evidence import Arm, Evidence
from teichaku.report.intervals import as_figure

STAGE = "signals"

#: From which value on an answer counts as right, by the scorer that carries the verdict: the whole
#: reference, nearly all of its characters, a mark that says right in the main.
RIGHT_FROM: Mapping[str, float] = {
    "containment": 1.0,
    "exact": 1.0,
    "character_f1": 0.8,
    "llmjp_char_f1": 0.8,
    "judge": 8.0,
}


def signals(evidence: Evidence, arms: Sequence[Arm], scorer: str) -> dict[str, Any] | None:
    """The area under the ROC curve of every signal and model; None where none were asked for."""
    if STAGE not in evidence.stages or scorer not in RIGHT_FROM:
        return None
    rows = list(evidence.finished.read(STAGE, "signals", AnswerSignal))
    scores = {row.answer_id: row for row in evidence.scores if row.scorer == scorer}
    at_least = RIGHT_FROM[scorer]
    is_right = {
        name: None if row.value is None else row.value >= at_least for name, row in scores.items()
    }
    clusters = {name: row.document_id or row.question_id for name, row in scores.items()}
    by_model: dict[tuple[str, str], list[AnswerSignal]] = {}
    for row in rows:
        if row.answer_id in scores:
            score = scores[row.answer_id]
            by_model.setdefault((score.arm, score.checkpoint), []).append(row)
    names = [arm.name for arm in arms]
    order = sorted(by_model, key=lambda key: (names.index(key[0]) if key[0] in names else -1, key))
    found = []
    for arm, checkpoint in order:
        own = by_model[arm, checkpoint]
        documents = len({clusters[row.answer_id] for row in own})
        for one in separations(own, is_right, clusters):
            # What no answer has, this model does not give.
            if one.right + one.wrong:
                found.append(
                    {
                        "arm": arm,
                        "checkpoint": checkpoint,
                        "signal": one.signal,
                        "auroc": as_figure(one.auroc, documents),
                        "beyond_shortness": as_figure(one.beyond_shortness, documents),
                        "right": one.right,
                        "wrong": one.wrong,
                        "missing": one.missing,
                    }
                )
    silent = {arm for arm, _ in by_model} - {
        row["arm"] for row in found if row["signal"] != "shortness"
    }
    return {
        "scorer": scorer,
        "right_from": at_least,
        "least": LEAST_OF_EACH,
        "rows": found,
        "without": sorted(silent),
    }
