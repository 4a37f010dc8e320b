"""What a recipe's examples will cost, measured before it is run.

Two samples of different size are really made; the line through what they took is drawn out to
all documents. Their replies stay in the request cache, so nothing of them is paid for twice.
"""

import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from teichaku.backends.registry import cache_home
from teichaku.core.models import ChatModel
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Example, Passage, Reply, Request, content_id
from teichaku.core.run_folder import RunFolder
from teichaku.recipes.arms import expand_arms
from teichaku.recipes.before import check_before
from teichaku.recipes.budget import price_of
from teichaku.recipes.data_stages import read_documents
from teichaku.recipes.methods import build_methods
from teichaku.recipes.progress import Progress
from teichaku.recipes.schema import Http, Recipe
from teichaku.recipes.study import Study
from teichaku.recipes.terms import teacher_terms
from teichaku.recipes.workshop import Workshop, price_per_token
from teichaku.synthesis.method import Method, synthesize

SIZES = (2, 6)


@dataclass(frozen=True)
class Cost:
    """What so many passages took, or will take. ``seconds`` is None where nothing was sent."""

    passages: int
    requests: float
    prompt_tokens: float
    completion_tokens: float
    examples: float
    price: float
    seconds: float | None


@dataclass(frozen=True)
class Forecast:
    """The examples of one arm: both samples, and all passages."""

    arm: str
    samples: tuple[Cost, Cost]
    whole: Cost


def forecast(
    recipe: Recipe,
    root: Path,
    progress: Progress,
    sizes: tuple[int, int] = SIZES,
    cache: Path | None = None,
) -> list[Forecast]:
    """The forecast for every arm of ``recipe``.

    Only the making of the examples is measured, with all that the methods ask on the way:
    questions in other words and judging are not. ``sizes`` count passages.
    """
    terms = teacher_terms(recipe, root)
    check_before(recipe, root)
    prompts = PromptPack(recipe.language, None if recipe.prompts is None else root / recipe.prompts)
    workshop = Workshop(recipe, prompts, progress, cache or cache_home() / "requests.sqlite")
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder))
        study = Study(recipe, root, run, workshop, prompts, progress, expand_arms(recipe), terms)
        try:
            read_documents(study, run.stage("documents"))
            return [_of_arm(study, data, sizes) for data in study.data_arms()]
        finally:
            progress.close()
            workshop.close()


def _of_arm(study: Study, data: str, sizes: tuple[int, int]) -> Forecast:
    methods = build_methods(study, data)
    passages = sorted(
        study.passages.values(), key=lambda passage: content_id(study.recipe.seed, passage.id)
    )
    small, large = sizes
    first = _sample(study, data, methods, passages[:small])
    second = _sample(study, data, methods, passages[:large])
    whole = _drawn_out(study.recipe, first, second, len(passages))
    return Forecast(data, (first, second), whole)


def _sample(study: Study, data: str, methods: Sequence[Method], passages: list[Passage]) -> Cost:
    """Make the examples of ``passages`` and count what it took, cached replies too."""
    stage = f"forecast/{data}: {len(passages)} passages"
    study.progress.begin(stage, None)
    model = _Counted(study.workshop.teacher)
    start = time.monotonic()
    again = study.prompts.load("ask_again")
    made = list(synthesize(passages, methods, model, again))
    seconds = time.monotonic() - start
    examples = sum(isinstance(record, Example) for record in made)
    study.progress.end(stage, f"{model.replies} requests, {examples} examples")
    price = price_of(price_per_token(study.recipe.teacher), model.prompts, model.completions)
    # A reply from the cache takes no time.
    share = model.sent / model.replies if model.replies else 0.0
    return Cost(
        len(passages), model.replies, model.prompts, model.completions, examples, price,
        seconds / share if share else None,
    )  # fmt: skip


class _Counted:
    """Counts the replies of a model, wherever they come from."""

    def __init__(self, model: ChatModel) -> None:
        self.identity = model.identity
        self._model = model
        self.replies = self.sent = self.prompts = self.completions = 0

    def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        for reply in self._model.generate(requests):
            self.replies += 1
            self.sent += not reply.cached
            self.prompts += reply.prompt_tokens
            self.completions += reply.completion_tokens
            yield reply


def _drawn_out(recipe: Recipe, first: Cost, second: Cost, passages: int) -> Cost:
    """The line through both samples, at all ``passages``."""

    def at(name: str) -> float:
        low, high = getattr(first, name), getattr(second, name)
        step = (second.passages - first.passages) or 1
        slope = (high - low) / step if second.passages > first.passages else high / step
        return max(0.0, float(high + slope * (passages - second.passages)))

    names = ("requests", "prompt_tokens", "completion_tokens", "examples", "price")
    drawn = {name: at(name) for name in names}
    return replace(second, passages=passages, seconds=_seconds(recipe, second, drawn), **drawn)


def _seconds(recipe: Recipe, sample: Cost, drawn: dict[str, float]) -> float | None:
    """The time for all, if the teacher goes on at the pace of the larger sample; a server that
    had room for more requests at once than the sample had answers more of them in that time.
    """
    if sample.seconds is None or not sample.requests:
        return None
    teacher = recipe.teacher
    room = float(teacher.max_concurrency) if isinstance(teacher, Http) else 1.0
    at_once = min(room, drawn["requests"]) / min(room, sample.requests)
    return sample.seconds * drawn["requests"] / sample.requests / max(1.0, at_once)
