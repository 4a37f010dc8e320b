"""The stage that makes examples: methods over passages in one stream, then what is lacking, then
methods over instructions.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from teichaku.core.locale import translate
from teichaku.core.models import ChatModel
from teichaku.core.records import Dropped, Example, Fact, Passage, Request
from teichaku.core.run_folder import StageFolder
from teichaku.curation.chain import curate
from teichaku.recipes.budget import price_of
from teichaku.recipes.filters import unjudged_filters
from teichaku.recipes.methods import (
    build_methods,
    build_seed_methods,
    fact_listing,
    gap_filler,
)
from teichaku.recipes.mixtures import mixture, size_told, told
from teichaku.recipes.novelty_stage import left_out
from teichaku.recipes.progress import beyond
from teichaku.recipes.seed_amounts import expected_requests
from teichaku.recipes.selection_stage import POOL
from teichaku.recipes.study import Outcome, Study, require, write_outcome
from teichaku.recipes.workshop import price_per_token
from teichaku.synthesis.coverage import assign_facts
from teichaku.synthesis.gaps import fill_gaps
from teichaku.synthesis.method import Made, Method, synthesize

#: These list the facts of a passage on their way.
_LISTS_FACTS = frozenset({"facts", "reverse"})


@dataclass
class Collected:
    """What was made so far."""

    examples: list[Example] = field(default_factory=list)
    facts: dict[str, Fact] = field(default_factory=dict)
    fallen: list[Dropped] = field(default_factory=list)

    def take(self, records: Iterable[Made]) -> None:
        """Sort what a method makes. Two methods that list the same facts make them once."""
        for record in records:
            if isinstance(record, Example):
                self.examples.append(record)
            elif isinstance(record, Fact):
                self.facts[record.id] = record
            else:
                self.fallen.append(record)

    def assign_facts(self) -> None:
        """Say of each example which facts it states."""
        if self.facts:
            self.examples = list(assign_facts(self.examples, self.facts.values()))

    def all_fallen(self) -> list[Dropped]:
        """What fell, in an order of its own; what fell of a list of facts that several methods
        asked for stands once.
        """
        facts = {record for record in self.fallen if record.kind == Fact.__name__}
        others = (record for record in self.fallen if record.kind != Fact.__name__)
        return sorted([*facts, *others], key=lambda d: (d.record_id, d.reason, d.evidence, d.raw))


def make_examples(study: Study, data: str, folder: StageFolder) -> Outcome:
    """Passages and seeds to examples, by the methods of the arm."""
    stage, arm = f"synthesis/{data}", study.recipe.arms[data]
    known = left_out(study) if arm.examples else []
    ids = {passage.record_id for passage in known}
    passages = [passage for passage in study.passages.values() if passage.id not in ids]
    made = Collected()
    # What others wrote needs no teacher, who may be none.
    if arm.examples:
        made = from_passages(study, data, stage, passages, study.workshop.teacher)
        made.fallen += known
        _over_seeds(study, data, made)
    mixed = _mixed(study, data, made)
    fallen = made.all_fallen()
    signed = [_signed(study, example) for example in made.examples]
    facts = sorted(made.facts.values(), key=lambda fact: fact.id)
    listed = (replace(fact, teacher=study.workshop.teacher.identity) for fact in facts)
    folder.write("facts", Fact, listed)
    reasons = write_outcome(folder, "examples", Example, signed, fallen)
    require(study.run, signed, stage, translate("example"), reasons, fallen)
    usage = study.workshop.usage
    requests = usage.requests + usage.cached_requests
    notes = {"passages": len(passages), "requests": requests, "facts": len(facts), **mixed}
    return Outcome(len(signed) + len(fallen), len(signed), reasons, notes)


def _mixed(study: Study, data: str, made: Collected) -> dict[str, Any]:
    """Put the arm's part of data of others to what is ``made``; a note about each source."""
    mix = study.recipe.arms[data].mix
    if mix is None:
        return {}
    study.progress.begin(f"synthesis/{data}, mix", None)
    mixed = mixture(mix, study.root, study.recipe.language, study.recipe.seed)
    made.take([*mixed.examples, *mixed.fallen])
    for note in mixed.notes:
        if what := told(note):
            study.progress.say(f"! synthesis/{data}: {what}")
    if what := size_told(mixed.size):
        study.progress.say(f"! synthesis/{data}: {what}")
    return {"mix": list(mixed.notes), "mix_size": dict(mixed.size)}


def from_passages(
    study: Study, data: str, stage: str, passages: Sequence[Passage], teacher: ChatModel
) -> Collected:
    """What the methods of an arm make of ``passages``, with their facts and what fills the gaps.

    ``stage`` is what the progress calls it.
    """
    made = Collected()
    methods = _with_facts(study, data, build_methods(study, data))
    _over_passages(study, stage, passages, methods, made, teacher)
    made.assign_facts()
    _fill_gaps(study, data, stage, passages, made, teacher)
    return made


def _with_facts(study: Study, data: str, methods: list[Method]) -> list[Method]:
    """``methods``, and the listing of facts where the arm counts them and nobody lists them."""
    arm = study.recipe.arms[data]
    listed = any(method.name in _LISTS_FACTS for method in methods)
    if (arm.facts or arm.until is not None) and not listed:
        return [fact_listing(study), *methods]
    return methods


def estimate_passages(study: Study, data: str, passages: Sequence[Passage]) -> str:
    """How many requests the methods of an arm begin with, and how long they may take, in words;
    those that follow from replies, and what fills gaps, come on top.
    """
    methods = _with_facts(study, data, build_methods(study, data))
    workshop = study.workshop
    return workshop.estimate(workshop.teacher, _first_requests(passages, methods))[1]


def _first_requests(passages: Sequence[Passage], methods: list[Method]) -> Iterator[Request]:
    first = (request for p in passages for method in methods for request in method.requests(p))
    return (request for request in first if isinstance(request, Request))


def _over_passages(
    study: Study,
    stage: str,
    passages: Sequence[Passage],
    methods: list[Method],
    made: Collected,
    teacher: ChatModel,
) -> None:
    progress = study.progress
    total, estimate = study.workshop.estimate(teacher, _first_requests(passages, methods))
    if total:
        progress.begin(stage, total, estimate)
    again = study.prompts.load("ask_again")
    made.take(synthesize(passages, methods, teacher, again, progress.expect_more))


def _fill_gaps(
    study: Study,
    data: str,
    stage: str,
    passages: Sequence[Passage],
    made: Collected,
    teacher: ChatModel,
) -> None:
    """Ask again for the facts that too few examples state, as often as the recipe allows.

    Only examples count that the recipe's filters will keep, but for those that ask a judge.
    """
    until = study.recipe.arms[data].until
    if until is None:
        return
    method, again = gap_filler(study, data), study.prompts.load("ask_again")
    filters = unjudged_filters(study)
    for number in range(1, until.rounds + 1):
        kept = [e for e in curate(made.examples, filters) if isinstance(e, Example)]
        gaps = fill_gaps(method, kept, made.facts.values(), until.statements_per_fact, number)
        facts = sum(map(len, gaps.lacking.values()))
        if not facts:
            return
        told = translate(
            "{lacking} of {facts} facts are stated fewer than {wanted} times; round {round}"
        ).format(
            lacking=facts, facts=len(made.facts), wanted=until.statements_per_fact, round=number
        )
        study.progress.say(f"  {stage}: {told}")
        lacking = [passage for passage in passages if passage.id in gaps.lacking]
        study.progress.expect_more(sum(1 for p in lacking for _ in gaps.requests(p)))
        more = study.progress.expect_more
        made.take(synthesize(lacking, [gaps], teacher, again, more))
        made.assign_facts()


def _over_seeds(study: Study, data: str, made: Collected) -> None:
    """Methods over instructions, one after another: each sees what those before it made."""
    seeds = study.seeds
    if not seeds:
        return
    again, progress, workshop = study.prompts.load("ask_again"), study.progress, study.workshop
    made.examples += seeds if study.recipe.seeds and study.recipe.seeds.include else []
    grown: list[Example] = []
    for method in build_seed_methods(study, data):
        expected = expected_requests(method, seeds, grown)
        total, estimate = workshop.rough_estimate(workshop.teacher, expected)
        progress.begin(f"synthesis/{data}, {method.name}", total, estimate)
        own = Collected()
        more = beyond(total, progress.expect_more)
        own.take(method.run(seeds, grown, workshop.teacher, again, more))
        grown = sorted([*grown, *own.examples], key=lambda example: example.id)
        made.take([*own.examples, *own.fallen])


def _signed(study: Study, example: Example) -> Example:
    """``example`` with the teacher's name, its terms and its price, where a teacher wrote it."""
    if not example.prompt:
        return example
    signature = _signature(study, example.prompt_tokens, example.completion_tokens)
    return replace(example, teacher=study.workshop.teacher.identity, **signature)


def _signature(study: Study, prompt_tokens: float, completion_tokens: float) -> dict[str, Any]:
    teacher = study.recipe.teacher
    price = price_of(price_per_token(teacher), prompt_tokens, completion_tokens) if teacher else 0.0
    return {"licence_class": study.terms.licence_class, "price": price}


def sign_anew(study: Study, folder: StageFolder) -> None:
    """Write price and terms as they are now into the signed examples of a finished stage, and
    into those that fell there. Nothing else of them changes.
    """
    made = folder.read("examples", Example)
    folder.write("examples", Example, [_signed(study, e) if e.teacher else e for e in made])
    # The controls of a selection draw from it.
    if pool := list(folder.read(POOL, Example)):
        folder.write(POOL, Example, [_signed(study, e) if e.teacher else e for e in pool])
    fallen = list(folder.read("dropped", Dropped))
    folder.write("dropped", Dropped, [_signed_drop(study, record) for record in fallen])


def _signed_drop(study: Study, fallen: Dropped) -> Dropped:
    record = json.loads(fallen.record) if fallen.kind == Example.__name__ else {}
    if not record.get("teacher"):
        return fallen
    signature = _signature(study, record["prompt_tokens"], record["completion_tokens"])
    whole = json.dumps({**record, **signature}, ensure_ascii=False, sort_keys=True)
    return replace(fallen, record=whole)
