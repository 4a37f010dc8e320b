"""One question as it reached each model, and what is wrong with it."""

from collections.abc import Container, Iterator, Mapping
from typing import Any

from teichaku.core.records import Answer
from teichaku.evaluation.benchmarks.conversations import NOT_ASKED
from teichaku.report.controls import STAGE
from teichaku.report.evidence import Evidence
from teichaku.report.wording import Wording


def prompt(evidence: Evidence) -> dict[str, Any]:
    """What the evaluation wrote of one question, with the question, and as ``of_sets`` what was
    written of the control sets; empty where nothing was.
    """
    asked = evidence.finished.json("evaluation", "prompt.json")
    of_sets = evidence.finished.json(STAGE, "prompt.json")
    if not asked and not of_sets:
        return {}
    question = evidence.questions.get(asked.get("question_id", ""))
    return {
        **asked,
        "question": question.question if question else "",
        "prompts": asked.get("prompts", []),
        "of_sets": of_sets.get("prompts", []),
        "by_servers": asked.get("by_servers") or of_sets.get("by_servers", []),
    }


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
    return [*told, *_of_sets(evidence, faults, words), *_failed(evidence, words)]


def _of_sets(
    evidence: Evidence, known: Mapping[str, Container[str]], words: Wording
) -> Iterator[str]:
    """The faults of the prompts of control sets, but those that are ``known`` of a model already.
    A tuned model has the prompts of its untuned one.
    """
    ways = evidence.finished.json(STAGE, "models.json").get("models", {})
    for name in (*evidence.base_arms, *evidence.further_models):
        sets: dict[str, list[str]] = {}
        for key, faults in ways.get(name, {}).get("faults", {}).items():
            for fault, count in faults.items():
                if fault not in known.get(name, ()):
                    told = f"{key} {words.count(count)}"
                    sets.setdefault(words.label("prompt_faults", fault), []).append(told)
        if sets:
            named = words("units.and").join(
                words("prompt.fault_of_sets", fault=fault, sets=words("units.and").join(keys))
                for fault, keys in sets.items()
            )
            yield words("caveats.set_prompt_faults", model=name, faults=named)


def _failed(evidence: Evidence, words: Wording) -> Iterator[str]:
    """The further models that gave no answer at all, or none to any control set."""
    of_sets = list(evidence.finished.read(STAGE, "answers", Answer))
    for name in evidence.further_models:
        for answers in (evidence.answers, of_sets):
            errors = [answer.error for answer in answers if answer.arm == name]
            if errors and all(errors):
                # A turn that was not asked says nothing of what was wrong with the first.
                why = next((error for error in errors if error != NOT_ASKED), errors[0])
                yield words("caveats.model_failed", model=name, error=why)
                break
