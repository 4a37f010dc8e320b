"""One question as it reaches each model of a study, token by token."""

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import PurePath
from typing import Any

from teichaku.core.errors import UserError
from teichaku.core.models import Student
from teichaku.core.records import Condition, Question
from teichaku.evaluation.answers import Conditions
from teichaku.evaluation.benchmarks.prompt_checks import prompt_faults
from teichaku.recipes.arms import base_arms
from teichaku.recipes.model_schema import Scripted, Transformers
from teichaku.recipes.study import Study

#: What a model that was tuned to chat has in its name, by the custom of those who publish them.
_TUNED_TO_CHAT = frozenset({"it", "instruct", "chat"})


def rendered_prompts(
    study: Study, question: Question, conditions: Sequence[Condition], put: Conditions
) -> dict[str, Any]:
    """As ``prompt.json`` has it: the ``prompts`` of each student and condition with their faults,
    and the models ``by_servers``, whose template this program does not see.
    """
    models: dict[str, Any] = {**base_arms(list(study.arms)), **study.recipe.evaluation.models}
    prompts: list[dict[str, Any]] = []
    by_servers = []
    for name, config in models.items():
        about = {"arm": name, "model": config.model, "backend": config.backend}
        if not isinstance(config, Transformers | Scripted):
            by_servers.append(about)
            continue
        try:
            student = study.workshop.student(config)
            found = [_rendered(student, question, condition, put) for condition in conditions]
        except UserError as error:
            # A further model that cannot be had; a student's own fault stops the training before.
            found = [{"error": error.message}]
        prompts += [{**about, **one} for one in found]
    return {"question_id": question.id, "prompts": prompts, "by_servers": by_servers}


def _rendered(
    student: Student, question: Question, condition: Condition, put: Conditions
) -> dict[str, Any]:
    request = put.request(question, condition)
    rendered = student.rendered(request.messages)
    faults = prompt_faults(
        rendered.tokens,
        rendered.bos,
        rendered.special,
        rendered.adds_bos,
        sounds_tuned_to_chat(student.name),
        rendered.has_chat_template,
    )
    return {
        "condition": condition,
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
