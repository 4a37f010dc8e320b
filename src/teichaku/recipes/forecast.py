"""What a recipe's examples will cost, measured before it is run.

Two samples of different size are really made, by the code that will make the whole; the line
through what they took is drawn out. Their replies stay in the request cache, so nothing that
the run asks in the same words is paid for twice.
"""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from teichaku.backends.registry import cache_home
from teichaku.core.errors import UserError
from teichaku.core.locale import translate
from teichaku.core.models import ChatModel
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Example, Passage, Reply, Request, content_id
from teichaku.core.run_folder import RunFolder
from teichaku.recipes import counts
from teichaku.recipes.arms import expand_arms
from teichaku.recipes.before import check_before
from teichaku.recipes.budget import alone, price_of
from teichaku.recipes.counts import counted
from teichaku.recipes.data_stages import read_documents
from teichaku.recipes.examples_stage import estimate_passages, from_passages
from teichaku.recipes.method_schema import SEED_METHODS
from teichaku.recipes.methods import build_seed_methods
from teichaku.recipes.model_schema import Chat, Http, LlamaCpp
from teichaku.recipes.progress import Progress, beyond
from teichaku.recipes.schema import Arm, Recipe
from teichaku.recipes.seed_amounts import amount, expected_requests, small
from teichaku.recipes.stage_line import counts_in_words
from teichaku.recipes.study import Study
from teichaku.recipes.terms import teacher_terms
from teichaku.recipes.workshop import Workshop, price_per_token
from teichaku.synthesis.method import SeedMethod
from teichaku.synthesis.self_instruct import SelfInstruct

SIZES = (2, 6)
Unit = Literal["documents", "instructions", "new instructions"]


@dataclass(frozen=True)
class Cost:
    """What so many units took, or will take.

    ``seconds`` are the fewest and the most; None where it is not known how fast the teacher is.
    ``failed`` requests of a sample have no tokens, so what is drawn out of them is too low.
    """

    units: int
    requests: float
    prompt_tokens: float
    completion_tokens: float
    examples: float
    price: float
    seconds: tuple[float, float] | None = None
    failed: int = 0


@dataclass(frozen=True)
class Part:
    """Of an arm, all methods over passages, or one over instructions: the samples, the whole.

    ``name`` is that of the method; empty for those over passages.
    """

    name: str
    unit: Unit
    samples: tuple[Cost, Cost]
    whole: Cost


@dataclass(frozen=True)
class Forecast:
    """The examples of one arm."""

    arm: str
    parts: tuple[Part, ...]

    @property
    def whole(self) -> Cost:
        """All parts together."""
        whole = Cost(0, 0, 0, 0, 0, 0.0, (0.0, 0.0))
        for part in self.parts:
            whole = _both(whole, part.whole)
        return whole

    @property
    def failed(self) -> int:
        """How many requests of the samples failed for good."""
        return sum(sample.failed for part in self.parts for sample in part.samples)


def _both(first: Cost, second: Cost) -> Cost:
    """One after the other."""
    seconds = None
    if first.seconds is not None and second.seconds is not None:
        least, most = zip(first.seconds, second.seconds, strict=True)
        seconds = (sum(least), sum(most))
    return Cost(
        first.units + second.units,
        first.requests + second.requests,
        first.prompt_tokens + second.prompt_tokens,
        first.completion_tokens + second.completion_tokens,
        first.examples + second.examples,
        first.price + second.price,
        seconds,
    )


@dataclass(frozen=True)
class Pace:
    """How fast the teacher answered a sample: tokens a second while any request was on its way,
    and how many were on their way then, on average.
    """

    tokens: float
    at_once: float


def forecast(
    recipe: Recipe,
    root: Path,
    progress: Progress,
    sizes: tuple[int, int] = SIZES,
    cache: Path | None = None,
    runs: Path = Path("runs"),
) -> list[Forecast]:
    """The forecast for every arm of ``recipe``.

    Only the making of the examples is measured, with all that the methods ask on the way, facts
    and gaps too; questions and judging are not. ``sizes`` count documents, or seeds, or lists of
    ``self_instruct``. What the samples cost counts against the budget of the recipe's run, which
    is in ``runs``. Raises ``UserError`` where ``sizes`` do not grow from 1, and where every request
    of a sample fails.
    """
    if not 1 <= sizes[0] < sizes[1]:
        raise UserError(
            f"No line can be drawn through samples of {sizes[0]} and {sizes[1]}.",
            "The first is at least 1 and the second is larger: --sizes 2 6",
        )
    check_before(recipe, root)
    terms = teacher_terms(recipe, root)
    _teacher(recipe)
    prompts = PromptPack(recipe.language, None if recipe.prompts is None else root / recipe.prompts)
    spent_by, cache = RunFolder(runs / recipe.name), cache or cache_home() / "requests.sqlite"
    with ExitStack() as stack:
        stack.enter_context(alone(recipe.budget, spent_by))
        run = RunFolder(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        workshop = Workshop(recipe, prompts, progress, cache, spent_by.path)
        stack.callback(workshop.close)
        stack.callback(progress.close)
        study = Study(recipe, root, run, workshop, prompts, progress, expand_arms(recipe), terms)
        if recipe.documents is not None:
            read = read_documents(study, run.stage("documents")).summary()
            progress.end("documents", counts_in_words("documents", read))
        _announce(study, sizes)
        before = workshop.speed(workshop.teacher)
        return [_of_arm(study, data, sizes, before) for data in study.data_arms()]


def _announce(study: Study, sizes: tuple[int, int]) -> None:
    """Say what will be asked, and how long it may take, before anything is: of the larger sample,
    for the smaller one is a part of it.
    """
    workshop = study.workshop
    for data in study.data_arms():
        told = []
        documents = _by_document(study) if _reads_documents(study.recipe.arms[data]) else []
        if documents:
            passages = [passage for document in documents[: sizes[1]] for passage in document]
            estimate = estimate_passages(study, data, passages)
            of = translate("{some} of {documents}").format(
                some=min(sizes[1], len(documents)), documents=counts.documents(len(documents))
            )
            told.append(f"{of}: {estimate}")
        for method in build_seed_methods(study, data) if study.seeds else ():
            sample, seeds, _ = small(method, study.seeds, sizes[1])
            expected = expected_requests(sample, seeds, ())
            told.append(f"{method.name}: {workshop.rough_estimate(workshop.teacher, expected)[1]}")
        for line in told:
            study.progress.say(f"  forecast/{data}, {line}")


def _teacher(recipe: Recipe) -> Chat:
    """Who writes the examples. Raises ``UserError`` where nobody does."""
    if recipe.teacher is None:
        raise UserError(
            "No model writes examples for this recipe, so there is nothing to forecast.",
            "Run it: teichaku run RECIPE",
        )
    return recipe.teacher


def _of_arm(study: Study, data: str, sizes: tuple[int, int], before: float | None) -> Forecast:
    """``before`` is how fast the teacher was in earlier runs, in tokens a second."""
    parts = []
    documents = _by_document(study) if _reads_documents(study.recipe.arms[data]) else []
    if documents:
        samples = [_from_documents(study, data, documents[:size]) for size in sizes]
        parts.append(_part(study.recipe, "", "documents", samples, len(documents), before))
    made_before, grown = 0.0, list[Example]()
    for method in build_seed_methods(study, data) if study.seeds else ():
        samples = [_from_seeds(study, data, method, grown, size) for size in sizes]
        unit: Unit = "new instructions" if isinstance(method, SelfInstruct) else "instructions"
        whole = amount(method, study.seeds, round(made_before))
        parts.append(_part(study.recipe, method.name, unit, samples, whole, before))
        made_before += parts[-1].whole.examples
        grown += samples[1].made
    return Forecast(data, tuple(p for p in parts if p.whole.requests or p.whole.examples))


def _reads_documents(arm: Arm) -> bool:
    begins_with_seeds = all(config.method in SEED_METHODS for config in arm.examples)
    return arm.facts or arm.until is not None or not begins_with_seeds


def _by_document(study: Study) -> list[list[Passage]]:
    """The passages of each document, in an order that the seed of the recipe draws."""
    found: dict[str, list[Passage]] = {}
    for passage in study.passages.values():
        found.setdefault(passage.document_id, []).append(passage)
    return [found[key] for key in sorted(found, key=lambda i: content_id(study.recipe.seed, i))]


@dataclass(frozen=True)
class _Sample:
    cost: Cost
    made: list[Example]
    watch: "_Watch"


def _from_documents(study: Study, data: str, documents: Sequence[list[Passage]]) -> _Sample:
    """Make the examples of ``documents``."""
    stage = f"forecast/{data}: {counts.documents(len(documents))}"
    passages = [passage for document in documents for passage in document]

    def work(teacher: ChatModel) -> list[Example]:
        return from_passages(study, data, stage, passages, teacher).examples

    return _measured(study, stage, len(documents), work)


def _from_seeds(
    study: Study, data: str, method: SeedMethod, grown: Sequence[Example], size: int
) -> _Sample:
    """Make a sample of what ``method`` makes, where those before it made ``grown``."""
    sample, seeds, units = small(method, study.seeds, size)
    told = counted(units, "{count} instruction", "{count} instructions")
    stage = f"forecast/{data}: {method.name}, {told}"
    again, workshop = study.prompts.load("ask_again"), study.workshop

    def work(teacher: ChatModel) -> list[Example]:
        expected = expected_requests(sample, seeds, ())
        total, estimate = workshop.rough_estimate(teacher, expected)
        study.progress.begin(stage, total, estimate)
        more = beyond(total, study.progress.expect_more)
        made = sample.run(seeds, grown, teacher, again, more)
        return [record for record in made if isinstance(record, Example)]

    return _measured(study, stage, units, work)


def _measured(
    study: Study, stage: str, units: int, work: Callable[[ChatModel], list[Example]]
) -> _Sample:
    """Do ``work`` and count what it takes, cached replies too."""
    watch, teacher = _Watch(study.workshop.teacher), _teacher(study.recipe)
    made = work(watch)
    if watch.failed and watch.failed == watch.replies:
        raise UserError(
            translate("No request to the teacher ({model}) succeeded: {why}").format(
                model=teacher.model, why=watch.error
            ),
            translate(
                "Look at the name of the model, the address and the key in the recipe's 'teacher'."
            ),
        )
    told = [counts.requests(watch.replies), counts.examples(len(made))]
    if watch.failed:
        failed = translate("{count} failed for good ({why})")
        told.insert(1, failed.format(count=watch.failed, why=watch.error))
    study.progress.end(stage, translate(", ").join(told))
    price = price_of(price_per_token(teacher), watch.prompts, watch.completions)
    asked, answered = watch.prompts, watch.completions
    cost = Cost(units, watch.replies, asked, answered, len(made), price, failed=watch.failed)
    return _Sample(cost, made, watch)


class _Watch:
    """Counts the replies of a model, wherever they come from, and times those that were sent."""

    def __init__(self, model: ChatModel) -> None:
        self.identity = model.identity
        self._model = model
        self.replies = self.prompts = self.completions = 0
        #: How many requests failed for good, and what was wrong with the first.
        self.failed, self.error = 0, ""
        #: Tokens that were written just now, and not found in the cache.
        self.written = 0
        #: Seconds in which a request was on its way, and the same times how many there were.
        self.seconds = self.waited = 0.0
        self._on_the_way, self._since = 0, 0.0

    def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        for reply in self._model.generate(self._outgoing(requests)):
            self._note(-1)
            self.replies += 1
            self.failed += bool(reply.error)
            self.error = self.error or reply.error
            self.prompts += reply.prompt_tokens
            self.completions += reply.completion_tokens
            self.written += 0 if reply.cached else reply.completion_tokens
            yield reply

    def _outgoing(self, requests: Iterable[Request | None]) -> Iterator[Request | None]:
        for request in requests:
            self._note(0 if request is None else 1)
            yield request

    def _note(self, change: int) -> None:
        now = time.monotonic()
        if self._on_the_way:
            self.seconds += now - self._since
            self.waited += (now - self._since) * self._on_the_way
        self._on_the_way, self._since = self._on_the_way + change, now


def _pace(samples: Sequence[_Sample]) -> Pace | None:
    """How fast the samples were made; None where all of it was in the cache."""
    watches = [sample.watch for sample in samples if sample.watch.written]
    seconds = sum(watch.seconds for watch in watches)
    if not seconds:
        return None
    written, waited = (sum(getattr(w, name) for w in watches) for name in ("written", "waited"))
    return Pace(written / seconds, waited / seconds)


def _part(
    recipe: Recipe,
    name: str,
    unit: Unit,
    samples: Sequence[_Sample],
    units: int,
    before: float | None,
) -> Part:
    """Both samples, and the line through them at ``units``."""
    first, second = (sample.cost for sample in samples)
    pace, whole = _pace(samples), _drawn_out(first, second, units)
    seconds = expected_seconds(whole, pace, before, requests_at_once(recipe))

    def timed(cost: Cost) -> Cost:
        return replace(cost, seconds=expected_seconds(cost, pace, None if pace else before, 1.0))

    return Part(name, unit, (timed(first), timed(second)), replace(whole, seconds=seconds))


def _drawn_out(first: Cost, second: Cost, units: int) -> Cost:
    """The line through both samples at ``units``; through nothing where they are of one size."""

    def at(name: str) -> float:
        low, high = getattr(first, name), getattr(second, name)
        if second.units > first.units:
            slope = (high - low) / (second.units - first.units)
        else:
            slope = high / max(1, second.units)
        return max(0.0, float(high + slope * (units - second.units)))

    asked, answered = at("prompt_tokens"), at("completion_tokens")
    return Cost(units, at("requests"), asked, answered, at("examples"), at("price"))


def requests_at_once(recipe: Recipe) -> float:
    """How many requests the teacher of ``recipe`` is given at a time, at most."""
    teacher = recipe.teacher
    if isinstance(teacher, Http):
        return float(teacher.max_concurrency * len(teacher.base_urls))
    return float(teacher.slots or 1) if isinstance(teacher, LlamaCpp) else 1.0


def expected_seconds(
    cost: Cost, pace: Pace | None, before: float | None, room: float
) -> tuple[float, float] | None:
    """The fewest and the most seconds for ``cost``; None where nothing is known.

    The most: at the slower of the ``pace`` of the samples and the speed ``before`` them (tokens a
    second). The fewest: at the faster; or, where there are more requests than the samples had on
    their way at once, if the server answers all that it has ``room`` for as fast as those.
    """
    if not cost.completion_tokens:
        return (0.0, 0.0)
    speeds = [speed for speed in (pace.tokens if pace else None, before) if speed]
    if not speeds:
        return None
    best = max(speeds)
    if pace is not None:
        at_once = max(1.0, min(room, pace.at_once))
        best = max(best, pace.tokens * min(room, cost.requests) / at_once)
    return cost.completion_tokens / best, cost.completion_tokens / min(speeds)
