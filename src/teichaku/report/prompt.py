"""One question as it reached each model, and what is wrong with it."""

from typing import Any

from teichaku.report.evidence import Evidence
from teichaku.report.wording import Wording


def prompt(evidence: Evidence) -> dict[str, Any]:
    """What the evaluation wrote of one question, with the question; empty where it wrote none."""
    found = evidence.finished.json("evaluation", "prompt.json")
    if not found:
        return {}
    question = evidence.questions.get(found["question_id"])
    return {**found, "question": question.question if question else ""}


def prompt_caveats(evidence: Evidence, words: Wording) -> list[str]:
    """The models whose prompts have a fault, which voids every figure of theirs; the further
    models that gave no answer at all.
    """
    faults: dict[str, set[str]] = {}
    for one in prompt(evidence).get("prompts", ()):
        if one.get("faults"):
            faults.setdefault(one["arm"], set()).update(one["faults"])
    told = []
    for arm, found in sorted(faults.items()):
        named = words("units.and").join(
            words.label("prompt_faults", name) for name in sorted(found)
        )
        told.append(words("caveats.prompt_faults", model=arm, faults=named))
    for name in evidence.further_models:
        own = [answer for answer in evidence.answers if answer.arm == name]
        if own and all(answer.error for answer in own):
            told.append(words("caveats.model_failed", model=name, error=own[0].error))
    return told
