"""Who marks whose answers: a judge must never silently be the model that it marks."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Relation = Literal["same_model", "same_base", "same_name"]

_WEIGHTS = re.compile(r"(?:sha256:|#)(?P<hash>[0-9a-f]{64})\b")
#: What a tuned model's identity has behind that of its base.
_ADAPTER = " adapter:"
_HERE = re.compile(r"(?<=//)(?:127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?=[:/]|$)")
#: What stands in a name behind the family: a size, a version, a format.
_FAMILY = re.compile(r"[^\W\d_]+(?:-jp)?")
_MAKERS = {"text-davinci": "gpt", "chatgpt": "gpt", "o1": "gpt", "o3": "gpt", "o4": "gpt"}


@dataclass(frozen=True, slots=True)
class _Parts:
    """What an identity says: the endpoint with the model there, or the weights, each empty where
    it says nothing of it; ``adapter`` is what was trained on top.
    """

    endpoint: str
    name: str
    weights: str
    adapter: str


def relation(judge: str, evaluated: str) -> Relation | None:
    """What the judge has to do with an evaluated model, by their identities.

    ``same_model``: the same identity, weights (with the same adapter or none) or the same model
    at the same endpoint, whatever settings go with it. ``same_base``: one is the other with an
    adapter. ``same_name``: the same model name at two endpoints, which mostly are the same
    weights. Weights in two formats, or behind an endpoint and in a file, cannot be told to be
    the same.
    """
    if judge == evaluated:
        return "same_model"
    if judge.partition(_ADAPTER)[0] == evaluated.partition(_ADAPTER)[0]:
        return "same_base"
    one, other = _parts(judge), _parts(evaluated)
    if one.weights and one.weights == other.weights:
        return "same_model" if one.adapter == other.adapter else "same_base"
    if one.endpoint and other.endpoint and one.name == other.name:
        return "same_model" if one.endpoint == other.endpoint else "same_name"
    return None


def self_graded(judge: str, evaluated: Mapping[str, str]) -> dict[str, Relation]:
    """The arms whose answers the judge must not mark unsaid, with the reason; ``evaluated`` are
    the identities of the models by arm.
    """
    found = {arm: relation(judge, identity) for arm, identity in sorted(evaluated.items())}
    return {arm: reason for arm, reason in found.items() if reason is not None}


def model_family(identity: str) -> str:
    """The family that a model belongs to by its name (``qwen``, ``gpt``, ``llm-jp``), for
    :func:`~teichaku.evaluation.judging.trust.self_preference`; empty where the name begins with
    no word.

    A guess by names alone: a tuned model bears the name that its makers gave it.
    """
    name = _parts(identity).name.rpartition("/")[2].casefold()
    for start, family in _MAKERS.items():
        if name.startswith(start):
            return family
    found = _FAMILY.match(name)
    return found.group() if found else ""


def _parts(identity: str) -> _Parts:
    if identity.startswith("http:"):
        address, _, rest = identity.removeprefix("http:").partition("#")
        name = re.split(r"[{#]", rest, maxsplit=1)[0]
        return _Parts(_HERE.sub("localhost", address.casefold().rstrip("/")), name, "", "")
    weights = _WEIGHTS.search(identity)
    name = re.split(r"[ #]", identity.removeprefix("llama_cpp:"), maxsplit=1)[0]
    _, _, adapter = identity.partition(_ADAPTER)
    return _Parts("", name, weights["hash"] if weights else "", adapter)
