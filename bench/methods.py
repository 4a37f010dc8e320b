"""What each synthesis method makes of the same passages for the same tokens, in a table.

    python bench/methods.py [--languages ja en] [--passages N] [--tokens N] [--methods NAME ...]
                            [--out FILE]

The packaged teacher reads 20 pages of the Cloud Native Glossary, the same terms in Japanese and
in English (bench/data). First it lists the facts of every passage, which are what is to be
covered. Then each method goes over the passages, one after another, and over them again with
another seed and its next style where tokens are left. No request goes out once the method's
replies have ``--tokens`` tokens, so a method may go beyond by one reply; the facts of passages
that it did not reach count as not covered. What comes before the examples counts as well: lists
of facts, entities, strategies and questions, and replies that could not be read; the same request
of one method once. ``verbatim`` asks nothing. Methods that begin with instructions go over the
seeds that ship (in Japanese); they have no passages, so nothing of theirs is grounded or covered.

``SETTINGS`` has what differs from the defaults of a recipe: amounts, and the length of replies.

``valid``       usable examples; the others were read and dropped, or could not be read.
``curated``     usable examples that pass the default filters of a recipe (for focal_rewrite,
                after documents and pairs were put in their ratio).
``grounded``    usable examples that the filter ``grounded`` passes, which looks at words.
``facts``       facts that a curated example states (synthesis/coverage.py). All examples are
                measured alike: which facts an example was asked to state does not count.
``5-grams``     distinct ones of all neighbouring five characters in the usable examples. The
                more there are, the lower the share; their number stands beside it.
``tokens``      of the replies, for each usable example.

Replies go through the user's request cache: a bench that was stopped goes on where it was, and
a second run asks nothing and gives the same table. The last line is one JSON object; the exit
code is 1 where a method gave no usable example in a language, or where counts do not add up.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from teichaku import recipes
from teichaku.backends.registry import cache_home
from teichaku.core.models import ChatModel
from teichaku.core.prompts import Prompt, PromptPack
from teichaku.core.records import Dropped, Example, Fact, Passage, Reply, Request, content_id
from teichaku.core.run_folder import RunFolder
from teichaku.core.text import normalise
from teichaku.curation.amount import mix_by_tokens
from teichaku.curation.chain import curate
from teichaku.curation.grounded import Grounded
from teichaku.recipes.filters import build_filter
from teichaku.recipes.methods import build_methods, build_seed_methods, fact_listing
from teichaku.recipes.progress import Silent, duration
from teichaku.recipes.schema import Recipe
from teichaku.recipes.study import Study, separate
from teichaku.recipes.terms import teacher_terms
from teichaku.recipes.workshop import Workshop
from teichaku.synthesis.coverage import assign_facts
from teichaku.synthesis.diverse_prompts import KINDS
from teichaku.synthesis.focal_rewrite import FocalRewrite
from teichaku.synthesis.method import Made, Method, synthesize

DATA = Path(__file__).parent / "data"
BUILTIN = Path(recipes.__file__).parent / "builtin"
SEEDS = {"ja": BUILTIN / "instruction-set" / "seeds.jsonl"}
TEACHER = {
    "backend": "llama_cpp",
    "model": "qwen2.5-coder-1.5b-instruct",
    "context_tokens": 4096,
    "slots": 1,
}
LANGUAGES = ("ja", "en")
PASSAGES, TOKENS = 20, 2000

SHORT, MIDDLE, LONG, WHOLE = ({"max_tokens": tokens} for tokens in (200, 300, 400, 800))
#: The section of each method in a recipe, small enough for :data:`TOKENS` to reach several
#: passages. Where there are several sections, the passages take them in turn.
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "verbatim": [{}],
    "paraphrase": [
        # A rewriting is about as long as its passage: what is cut off is dropped.
        {"styles": [style], "generation": WHOLE}
        for style in ("easy", "medium", "hard", "qa")
    ],
    "facts": [
        {"texts": 1, "qa_per_fact": 0, "generation": MIDDLE},
        {"texts": 0, "qa_per_fact": 1, "generation": SHORT},
    ],
    "entity_graph": [
        {"max_entities": 6, "max_pairs": 1, "max_triples": 0, "generation": MIDDLE},
    ],
    "category_qa": [{"per_passage": 1, "generation": SHORT}],
    "document_qa": [{"per_passage": 2, "generation": LONG}],
    "diverse_prompts": [{"kinds": [kind], "generation": MIDDLE} for kind in KINDS],
    "active_reading": [{"strategies": 1, "listing": SHORT, "generation": MIDDLE}],
    "focal_rewrite": [
        # Two pairs are about as long as one document, so that the ratio drops little.
        {"per_passage": 2, "rewritten": 1, "asking": MIDDLE, "generation": MIDDLE},
    ],
    "reverse": [{"samples": 1, "generation": SHORT}],
    "self_instruct": [
        {
            "instructions": 5,
            "requests_per_round": 1,
            "max_rounds": 2,
            "instances": 1,
            "input_first_tokens": 200,
            "output_first_tokens": 200,
            "generation": MIDDLE,
        }
    ],
    "evol_instruct": [{"rounds": 1, "generation": LONG}],
    "domain_spread": [{"per_seed": 1, "generation": MIDDLE}],
}
SEED_METHODS = ("self_instruct", "evol_instruct", "domain_spread")
#: A list of facts has about so many tokens; for the time left only.
USUAL_FACTS_TOKENS = 300
MOST_ROUNDS = 20
GRAM = 5


@dataclass(frozen=True)
class Row:
    """What a method made in one language.

    ``reached`` passages have a usable example. ``dropped`` were made and could not be used,
    ``curated`` of the usable ones are left by the filters, which dropped ``filtered``.
    ``grounded`` and ``covered`` are None where there is no passage.
    """

    method: str
    language: str
    requests: int
    tokens: int
    reached: int
    usable: int
    dropped: int
    curated: int
    filtered: int
    grounded: int | None
    covered: int | None
    facts: int
    grams: int
    distinct_grams: int
    example_tokens: float

    @property
    def faults(self) -> list[str]:
        """Which counts do not add up."""
        wrong = {
            f"{self.usable} usable, {self.curated} left and {self.filtered} dropped by filters": (
                self.usable != self.curated + self.filtered
            ),
            f"the examples have {self.example_tokens:.1f} of {self.tokens} tokens": (
                self.example_tokens > self.tokens + 0.5
            ),
            f"{self.grounded} grounded of {self.usable}": (self.grounded or 0) > self.usable,
            f"{self.covered} covered of {self.facts}": (self.covered or 0) > self.facts,
            f"{self.usable} examples of {self.reached} passages": self.reached > self.usable,
        }
        return [
            f"{self.language} {self.method}: {what}" for what, is_wrong in wrong.items() if is_wrong
        ]


class Watch:
    """Says how far the bench is. Tokens from the cache take no time, so the time left is that of
    the case that nothing more is in it.
    """

    def __init__(
        self, planned: int, say: Callable[[str], None], every_seconds: float = 15.0
    ) -> None:
        self._left = planned
        self._say = say
        self._every = every_seconds
        self._start = self._told = time.monotonic()
        self._sent = 0
        self._name, self._tokens, self._planned = "", 0, 0

    def begin(self, name: str, planned: int) -> None:
        """A part begins, with so many of the planned tokens."""
        self._name, self._tokens, self._planned = name, 0, planned
        self._left -= planned

    def reply(self, reply: Reply) -> None:
        """One more reply; a line every few seconds."""
        self._tokens += reply.completion_tokens
        self._sent += 0 if reply.cached else reply.completion_tokens
        if time.monotonic() - self._told >= self._every:
            self._told = time.monotonic()
            self._say(
                f"  {self._name}: {self._tokens} of {self._planned} tokens{self._time_left()}"
            )

    def end(self, text: str) -> None:
        """A part is over."""
        self._say(f"{self._name}: {text}{self._time_left()}")

    def _time_left(self) -> str:
        if not self._sent:
            return ""
        rate = self._sent / (time.monotonic() - self._start)
        left = self._left + max(0, self._planned - self._tokens)
        return f", {rate:.0f} tokens/s, at most {duration(left / rate)} left"


@dataclass
class Capped:
    """``teacher`` for one method: requests go out one at a time, and none once ``limit`` tokens
    were written (None: no limit).

    What is not sent gets no reply, so it makes neither an example nor a dropped one. ``given_up``
    counts those replies that would have been asked for once more.
    """

    teacher: ChatModel
    limit: int | None
    tell: Callable[[Reply], None] = lambda reply: None
    requests: int = 0
    tokens: int = 0
    given_up: int = 0
    _known: set[str] = field(default_factory=set)

    @property
    def identity(self) -> str:
        """The identity of the teacher."""
        return self.teacher.identity

    @property
    def is_spent(self) -> bool:
        """Whether no further request goes out."""
        return self.limit is not None and self.tokens >= self.limit

    def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        """The teacher's replies, in order."""
        for request in requests:
            if request is None:
                return  # what is on the way was not sent
            if self.is_spent:
                self.given_up += request.attempt
                continue
            for reply in self.teacher.generate([request]):
                self._count(reply)
                yield reply

    def _count(self, reply: Reply) -> None:
        # A method that goes over a passage again needs no second list of its facts.
        if not reply.key or reply.key not in self._known:
            self.requests += 1
            self.tokens += reply.completion_tokens
            self._known.add(reply.key)
        self.tell(reply)


@dataclass(frozen=True)
class Turn:
    """A passage, and the method in the style and with the seed in which it meets that."""

    passage: Passage
    method: Method


@dataclass(frozen=True)
class InTurns:
    """A method whose units are turns."""

    name: str

    def requests(self, turn: Turn) -> Iterator[Request | Made]:
        """What the method of the turn asks."""
        return turn.method.requests(turn.passage)

    def parse(self, reply: Reply) -> Iterator[Made | Request]:
        """What the method that asked finds."""
        method: Method = reply.request.subject.method
        return method.parse(reply)


def turns(
    passages: Sequence[Passage], variants: Sequence[Method], teacher: Capped
) -> Iterator[Turn]:
    """Every passage with the next of ``variants``, round by round with another seed, until the
    tokens are spent; once where nothing is spent.
    """
    for number in range(MOST_ROUNDS):
        before = teacher.tokens
        for place, passage in enumerate(passages):
            method: Any = variants[(place + number) % len(variants)]
            yield Turn(passage, replace(method, seed=number) if number else method)
        if teacher.is_spent or teacher.tokens == before:
            return


def read_passages(language: str, count: int) -> list[Passage]:
    """The first ``count`` passages of ``language``; each is a document of its own."""
    lines = (DATA / f"passages-{language}.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines[:count]]
    return [
        Passage(
            content_id(row["id"], 0, row["text"]), row["id"], 0, row["title"], row["text"],
            row["url"], row["licence"],
        )
        for row in rows
    ]  # fmt: skip


def recipe_of(language: str, methods: Iterable[str], teacher: Mapping[str, Any]) -> Recipe:
    """The recipe with an arm ``METHOD-N`` for each of the settings of each method."""
    arms: dict[str, Any] = {}
    for name in methods:
        for number, settings in enumerate(SETTINGS[name]):
            arms[f"{name}-{number}"] = {"examples": [{"method": name, **settings}]}
    seeds = {"seeds": {"path": str(SEEDS[language])}} if language in SEEDS else {}
    return Recipe.model_validate(
        {
            "name": "methods",
            "language": language,
            "documents": {"paths": [f"passages-{language}.jsonl"]},
            "teacher": dict(teacher),
            "arms": arms,
            **seeds,
        }
    )


def open_study(
    recipe: Recipe, passages: Sequence[Passage], folder: Path, workshop: Workshop
) -> Study:
    """What the builders of methods and filters ask for, with ``passages`` as its documents."""
    run = RunFolder(folder)
    run.stage("documents").write("passages", Passage, passages)
    prompts = PromptPack(recipe.language)
    terms = teacher_terms(recipe, DATA)
    return Study(recipe, DATA, run, workshop, prompts, Silent(), [], terms)


def list_facts(study: Study, teacher: ChatModel, again: Prompt) -> list[Fact]:
    """The facts of all passages."""
    found = synthesize(study.passages.values(), [fact_listing(study)], teacher, again)
    return [record for record in found if isinstance(record, Fact)]


def make(study: Study, name: str, teacher: Capped, again: Prompt) -> list[Made]:
    """All that the method ``name`` makes until the tokens of ``teacher`` are spent."""
    arms = [arm for arm in study.recipe.arms if arm.rpartition("-")[0] == name]
    if name in SEED_METHODS:
        return list(over_seeds(study, arms[0], teacher, again))
    variants = [method for arm in arms for method in build_methods(study, arm)]
    passages = list(study.passages.values())
    return list(synthesize(turns(passages, variants, teacher), [InTurns(name)], teacher, again))


def over_seeds(study: Study, arm: str, teacher: Capped, again: Prompt) -> Iterator[Made]:
    """What the method of ``arm`` makes of the seeds, run by run with another seed for its
    drawings and what it made as the pool, until the tokens are spent.
    """
    (method,) = build_seed_methods(study, arm)
    pool: list[Example] = []
    for number in range(MOST_ROUNDS):
        before = teacher.tokens
        numbered: Any = method
        drawing = replace(numbered, seed=number) if number else method
        found = list(drawing.run(study.seeds, pool, teacher, again))
        pool += [record for record in found if isinstance(record, Example)]
        yield from found
        if teacher.is_spent or teacher.tokens == before:
            return


def measure(
    study: Study, name: str, made: Iterable[Made], teacher: Capped, facts: Sequence[Fact]
) -> Row:
    """The row of a method, from what it made."""
    records = list(made)
    usable = [record for record in records if isinstance(record, Example)]
    fallen = [r for r in records if isinstance(r, Dropped) and r.kind == "Example"]
    curated, filtered = curate_as_default(study, usable)
    grounded, covered = None, None
    if name not in SEED_METHODS:
        grounded = len(separate(Grounded(study.passages)(usable))[0])
        covered = len(stated(curated, facts))
    texts = [normalise(f"{example.asked}\n{example.answer}") for example in usable]
    grams = [text[at : at + GRAM] for text in texts for at in range(len(text) - GRAM + 1)]
    return Row(
        name, study.recipe.language, teacher.requests, teacher.tokens,
        len({example.passage_id for example in usable if example.passage_id}),
        len(usable), len(fallen) + teacher.given_up, len(curated), len(filtered),
        grounded, covered, len(facts), len(grams), len(set(grams)),
        sum(example.completion_tokens for example in usable),
    )  # fmt: skip


def curate_as_default(
    study: Study, examples: Sequence[Example]
) -> tuple[list[Example], list[Dropped]]:
    """What the default filters of a recipe leave and drop, after Focal Rewriting was mixed."""
    mixed, surplus = separate(mix_by_tokens(examples, "focal_rewrite", FocalRewrite.ratio))
    filters = [build_filter(study, config) for config in study.recipe.curation]
    kept, fallen = separate(curate(mixed, filters))
    return kept, [*surplus, *fallen]


def stated(examples: Iterable[Example], facts: Sequence[Fact]) -> set[str]:
    """The ids of those of ``facts`` that an example states, whatever it was asked to state."""
    alike = (replace(example, fact_ids=()) for example in examples)
    return {fact for example in assign_facts(alike, facts) for fact in example.fact_ids}


@dataclass(frozen=True)
class Settings:
    """What is measured, by which teacher (its section in a recipe), with which request cache."""

    methods: Sequence[str]
    passages: int
    tokens: int
    teacher: Mapping[str, Any]
    cache: Path


def methods_in(language: str, methods: Iterable[str]) -> list[str]:
    """Those of ``methods`` that have something to begin with in ``language``."""
    return [name for name in methods if name not in SEED_METHODS or language in SEEDS]


def run_language(language: str, settings: Settings, watch: Watch) -> list[Row]:
    """The rows of all methods in ``language``."""
    passages = read_passages(language, settings.passages)
    names = methods_in(language, settings.methods)
    recipe = recipe_of(language, names, settings.teacher)
    workshop = Workshop(recipe, PromptPack(language), Silent(), settings.cache)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            study = open_study(recipe, passages, Path(folder), workshop)
            again = study.prompts.load("ask_again")
            watch.begin(f"{language} facts", USUAL_FACTS_TOKENS * len(passages))
            listing = Capped(workshop.teacher, None, watch.reply)
            facts = list_facts(study, listing, again)
            watch.end(f"{len(facts)} in {listing.tokens} tokens")
            for name in names:
                watch.begin(f"{language} {name}", settings.tokens)
                teacher = Capped(workshop.teacher, settings.tokens, watch.reply)
                rows.append(measure(study, name, make(study, name, teacher, again), teacher, facts))
                watch.end(f"{rows[-1].usable} examples in {teacher.tokens} tokens")
        finally:
            workshop.close()
    return rows


def share(part: int | None, whole: int) -> str:
    """A share with its counts; a dash where there is nothing to take a share of."""
    if part is None or not whole:
        return "n/a" if part is None else "–"
    return f"{part / whole:.0%} ({part}/{whole})"


def table(rows: Sequence[Row]) -> str:
    """The rows of one language in Markdown."""
    heading = (
        "method", "requests", "tokens", "passages", "valid", "curated", "grounded", "facts",
        "5-grams", "tokens an example",
    )  # fmt: skip
    lines = [f"| {' | '.join(heading)} |", f"|{' --- |' * len(heading)}"]
    for row in rows:
        cells = (
            row.method,
            str(row.requests),
            str(row.tokens),
            "n/a" if row.method in SEED_METHODS else str(row.reached),
            share(row.usable, row.usable + row.dropped),
            share(row.curated, row.usable),
            share(row.grounded, row.usable),
            share(row.covered, row.facts),
            f"{row.distinct_grams / row.grams:.0%} of {row.grams}" if row.grams else "–",
            f"{row.tokens / row.usable:.0f}" if row.usable else "–",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def document(rows: Sequence[Row], settings: Settings, machine: str) -> str:
    """The tables of all languages, and what they were made with."""
    about = (
        f"Teacher {settings.teacher.get('model', settings.teacher['backend'])}, "
        f"{settings.passages} passages, {settings.tokens} tokens a method and language. {machine}."
    )
    parts = [about]
    for language in dict.fromkeys(row.language for row in rows):
        own = [row for row in rows if row.language == language]
        parts += [f"## {language}: {own[0].facts} facts", table(own)]
    chosen = dict.fromkeys(row.method for row in rows)
    lines = [f"- {name}: {json.dumps(SETTINGS[name], ensure_ascii=False)}" for name in chosen]
    parts += ["Settings beside the defaults of a recipe; several are taken in turn:"]
    parts += ["\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """What is checked, ready for JSON: usable examples everywhere, and counts that add up."""
    value = sum(row.usable > 0 for row in rows)
    faults = [fault for row in rows for fault in row.faults]
    faults += [f"{row.language}: no fact was listed" for row in rows if not row.facts]
    return {
        "name": "methods",
        "value": value,
        "target": len(rows),
        "ok": bool(rows) and value == len(rows) and not faults,
        "faults": list(dict.fromkeys(faults)),
        "rows": [asdict(row) for row in rows],
    }


def machine_name() -> str:
    """The machine in a line."""
    return (
        f"{os.cpu_count()} cores, {platform.machine()}, {platform.platform()}, "
        f"Python {platform.python_version()}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--languages", nargs="+", choices=LANGUAGES, default=LANGUAGES)
    parser.add_argument(
        "--passages", type=int, choices=range(1, PASSAGES + 1), default=PASSAGES, metavar="N"
    )
    parser.add_argument("--tokens", type=int, default=TOKENS, metavar="N")
    parser.add_argument("--methods", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--out", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    cache = cache_home() / "requests.sqlite"
    settings = Settings(arguments.methods, arguments.passages, arguments.tokens, TEACHER, cache)
    machine = machine_name()
    print(f"{machine}, load {os.getloadavg()[0]:.1f}")
    parts = [len(methods_in(language, settings.methods)) for language in arguments.languages]
    planned = sum(
        USUAL_FACTS_TOKENS * settings.passages + count * settings.tokens for count in parts
    )
    watch = Watch(planned, lambda text: print(text, flush=True))
    rows: list[Row] = []
    try:
        for language in arguments.languages:
            rows += run_language(language, settings, watch)
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from here.")
        return 130
    text = document(rows, settings, machine)
    print(text)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    found = summary(rows)
    print(json.dumps(found, ensure_ascii=False))
    return 0 if found["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
