"""One question as it reaches each model of a study, token by token."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any

from teichaku.backends.llama_cpp import LlamaCppModel
from teichaku.core.models import Student
from teichaku.core.records import Condition, Question, Request
from teichaku.evaluation.answers import Conditions
from teichaku.evaluation.benchmarks.prompt_checks import prompt_faults
from teichaku.recipes.arms import base_arms
from teichaku.recipes.further_model import own_failure
from teichaku.recipes.model_schema import Http, LlamaCpp, Scripted, Transformers
from teichaku.recipes.study import Study

#: What a model that was tuned to chat has in its name, by the custom of those who publish them.
_TUNED_TO_CHAT = frozenset({"it", "instruct", "chat", "sft", "dpo", "rlhf"})


def rendered_prompts(
    study: Study, question: Question, conditions: Sequence[Condition], put: Conditions
) -> dict[str, Any]:
    """As ``prompt.json`` has it: the ``prompts`` of each model and condition with their faults, and
    the models ``by_servers``, whose template this program does not see.
    """
    asked = [Shown({"condition": name}, put.request(question, name)) for name in conditions]
    return {"question_id": question.id, **rendered_by_models(study, lambda arm: asked)}


@dataclass(frozen=True)
class Shown:
    """A request to show as a model reads it, and what is said ``about`` it; ``wants_chat``:
    a model that was tuned to chat should have a template for it.
    """

    about: Mapping[str, Any]
    request: Request
    wants_chat: bool = True


def rendered_by_models(study: Study, asked: Callable[[str], Iterable[Shown]]) -> dict[str, Any]:
    """The ``prompts`` of each student and further model by name, and the models ``by_servers``."""
    further = study.recipe.evaluation.models
    models: dict[str, Any] = {**base_arms(list(study.arms)), **further}
    prompts: list[dict[str, Any]] = []
    by_servers = []
    for name, config in models.items():
        about = {"arm": name, "model": config.model, "backend": config.backend}
        if isinstance(config, Http):
            by_servers.append(about)
            continue
        try:
            found = _shown(study, config, asked(name))
        except Exception as error:
            # A student's own fault is no further model's.
            if name not in further:
                raise
            found = [{"error": own_failure(error)}]
        prompts += [{**about, **one} for one in found]
    return {"prompts": prompts, "by_servers": by_servers}


def _shown(
    study: Study, config: LlamaCpp | Transformers | Scripted, asked: Iterable[Shown]
) -> list[dict[str, Any]]:
    if not isinstance(config, LlamaCpp):
        student = study.workshop.student(config)
        return [_rendered(student, one) for one in asked]
    try:
        engine = study.workshop.engine("evaluated", config)
        return [_rendered(engine, one) for one in asked]
    finally:
        # It was loaded for this alone, and one model is in memory at a time.
        study.workshop.free_engines()


def _rendered(model: Student | LlamaCppModel, one: Shown) -> dict[str, Any]:
    request = one.request
    rendered = model.rendered(request.messages, request.plain)
    faults = prompt_faults(
        rendered.tokens,
        rendered.bos,
        rendered.special,
        rendered.adds_bos,
        one.wants_chat and sounds_tuned_to_chat(model.name),
        rendered.has_chat_template,
    )
    return {
        **one.about,
        "prompt": request.prompt,
        "messages": [asdict(message) for message in request.messages],
        "text": rendered.text,
        "tokens": list(rendered.tokens),
        "special": sorted(rendered.special),
        "bos": rendered.bos,
        "has_chat_template": rendered.has_chat_template,
        "faults": list(faults),
    }


def sounds_tuned_to_chat(name: str) -> bool:
    """Whether the name of a model says so; then a missing chat template is a fault."""
    parts = re.split(r"[^a-z0-9]+", PurePath(name).name.lower())
    return not _TUNED_TO_CHAT.isdisjoint(parts)
