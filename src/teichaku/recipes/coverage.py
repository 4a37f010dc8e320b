"""Which facts of the documents the examples of a run state, before and after curation."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from teichaku.core.errors import UserError
from teichaku.core.locale import translate
from teichaku.core.records import Example, Fact
from teichaku.core.run_folder import RunFolder
from teichaku.recipes.study import go_on
from teichaku.synthesis.coverage import Coverage, CoverageRow, assign_facts, coverage_table


@dataclass(frozen=True)
class ArmCoverage:
    """The coverage by one arm's examples; ``curated`` is None before its curation.

    ``unstated`` are the facts that no example states any more, in the order of documents.
    """

    arm: str
    made: Coverage
    curated: Coverage | None
    unstated: tuple[Fact, ...]

    def rows(self) -> Iterator[tuple[str, CoverageRow]]:
        """``made`` or ``curated``, and how often the facts are stated: by each method, then by
        all where there are several.
        """
        for stage, coverage in (("made", self.made), ("curated", self.curated)):
            if coverage is not None:
                for row in coverage.methods:
                    yield stage, row
                if len(coverage.methods) != 1:
                    yield stage, coverage.total


def run_coverage(run: RunFolder, arm: str = "") -> list[ArmCoverage]:
    """The coverage by each arm of ``run``, or by ``arm`` alone.

    All arms are measured by all facts that any arm lists, so an arm that lists none is measured
    too. Raises ``UserError`` where no arm has facts, or there is no such arm.
    """
    finished = run.stages()
    arms = [name.partition("/")[2] for name in finished if name.startswith("synthesis/")]
    if arm and arm not in arms:
        known = ", ".join(arms) or "none yet"
        raise UserError(f"There is no arm '{arm}' with examples.", f"There are: {known}.")
    facts = _facts(run, arms)
    if not facts and "documents" not in finished:
        raise UserError(
            f"{run.path} begins with seeds alone: it has no documents with facts to be counted.",
            f"What it made: teichaku status {shlex.quote(str(run.path))}",
        )
    if not facts:
        raise UserError(
            translate(
                "No arm of {run} has facts, so what its examples state cannot be counted."
            ).format(run=run.path),
            translate(
                "Add this line to an arm of the recipe, beside its 'examples', and run it again; "
                "only the requests for the facts are sent:\n      facts: true\n  The methods "
                "'facts' and 'reverse' list them anyway. {go_on}"
            ).format(go_on=go_on(run)),
        )
    found = []
    for name in [arm] if arm else arms:
        made = _coverage(run, f"synthesis/{name}", facts)
        is_curated = f"curation/{name}" in finished
        curated = _coverage(run, f"curation/{name}", facts) if is_curated else None
        unstated = set((curated or made).unstated)
        found.append(
            ArmCoverage(name, made, curated, tuple(fact for fact in facts if fact.id in unstated))
        )
    return found


def _facts(run: RunFolder, arms: list[str]) -> list[Fact]:
    """Every fact that an arm lists, once."""
    facts = {
        fact.id: fact
        for name in arms
        for fact in run.stage(f"synthesis/{name}").read("facts", Fact)
    }
    return sorted(facts.values(), key=lambda f: (f.document_id, f.passage_id, f.index, f.id))


def _coverage(run: RunFolder, stage: str, facts: list[Fact]) -> Coverage:
    return coverage_table(assign_facts(run.stage(stage).read("examples", Example), facts), facts)
