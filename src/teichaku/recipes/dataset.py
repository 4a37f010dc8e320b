"""The data set of one arm of a run: what is in it, what is not, and who has a say in it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from teichaku.backends.terms import LicenceClass, Terms
from teichaku.core.errors import RecipeError, UserError
from teichaku.core.locale import translate
from teichaku.core.records import MIX, Document, Dropped, Example, Fact
from teichaku.core.run_folder import RunFolder
from teichaku.recipes.licences import hub_identifier, keeps_from_publishing
from teichaku.recipes.load import load_recipe
from teichaku.recipes.mix_schema import MixSource
from teichaku.recipes.schema import Recipe, Seeds
from teichaku.recipes.study import go_on, kept_apart
from teichaku.recipes.terms import teacher_terms


@dataclass(frozen=True)
class Source:
    """A run to take data sets from. ``teacher_licence`` is empty where it is not known."""

    run: RunFolder
    recipe: Recipe
    terms: Terms
    teacher_licence: str = ""


@dataclass(frozen=True)
class Dataset:
    """The curated examples of the arm ``arm``: those to train on, those that the evaluation of
    the run keeps for itself, and what neither may have.

    ``written`` are the examples as the methods wrote them, before curation; ``documents`` those
    that an example of the set comes from.
    """

    source: Source
    arm: str
    training: Sequence[Example]
    held_out: Sequence[Example]
    left_out: Sequence[Dropped]
    written: Sequence[Example]
    documents: Sequence[Document]
    facts: Sequence[Fact]

    @property
    def examples(self) -> list[Example]:
        """All examples of the set."""
        return [*self.training, *self.held_out]

    @property
    def without_document(self) -> int:
        """How many examples come from no document that is known, and from no data of others."""
        known = {document.id for document in self.documents}
        return sum(
            example.document_id not in known and example.method != MIX for example in self.examples
        )

    @property
    def seeds(self) -> Seeds | None:
        """The instructions that what comes from no document was made from."""
        return self.source.recipe.seeds if self.without_document else None

    @property
    def mixed(self) -> list[tuple[MixSource, int]]:
        """The data of others in the set, and how many examples of each."""
        mix = self.source.recipe.arms[self.arm].mix
        counts = Counter(e.category for e in self.examples if e.method == MIX)
        return [(one, counts[one.name]) for one in (mix.sources if mix else ()) if counts[one.name]]

    @property
    def origins(self) -> list[tuple[str, str]]:
        """Where the examples come from, each with its licence as stated."""
        found = [(document.source, document.licence) for document in self.documents]
        found += [(source.name, source.licence) for source, _ in self.mixed]
        found += self._stated_by_rows
        return found if self.seeds is None else [*found, (self.seeds.path, self.seeds.licence)]

    @property
    def _stated_by_rows(self) -> list[tuple[str, str]]:
        """Licences in words that rows of the data of others carry from an earlier export: those of
        the seeds there.
        """
        mixed = (example for example in self.examples if example.method == MIX)
        stated = {(example.category, example.licence_class) for example in mixed}
        return sorted(row for row in stated if row[1] not in ("", *get_args(LicenceClass)))

    @property
    def classes(self) -> set[str]:
        """What the terms of those models say that wrote it: this run's teacher, and the teachers of
        earlier exports that are mixed in.
        """
        carried = {e.licence_class for e in self.examples if e.method == MIX}
        return {self.source.terms.licence_class, *(carried & {*get_args(LicenceClass)})}


def source_of(run: RunFolder) -> Source:
    """The finished or stopped run, with the terms of its teacher as the table has them today.

    Raises ``UserError`` where they forbid to train on what the teacher wrote and the recipe does
    not accept them by name.
    """
    recipe = load_recipe(run.path / "recipe.yaml")
    about = run.read_json("run.json")
    root = (run.path.resolve() / about["root"]).resolve()
    teachers = [model for model in about.get("models", ()) if model.get("role") == "teacher"]
    try:
        terms = teacher_terms(recipe, root)
    except RecipeError as error:
        stated = [model["terms"] for model in teachers if "terms" in model]
        before = [f"{told['name']} ({told['licence_class']})" for told in stated]
        told = translate("When the run was made, its terms were {terms}. ") if before else ""
        hint = translate("{hint} in the recipe; what is finished is kept.").format(hint=error.hint)
        raise UserError(
            told.format(terms="".join(before)) + error.message, f"{hint} {go_on(run)}"
        ) from error
    licences = {model["licence"] for model in teachers}
    return Source(run, recipe, terms, "".join(licences - {"unknown"}))


def dataset_folders(run: RunFolder) -> list[Path]:
    """The data sets that ``run`` ends with, for each arm of its recipe as that is now."""
    return [run.path / name for name in run.stages() if name.startswith("dataset/")]


def no_student(run: RunFolder) -> UserError:
    """What to tell where the run ends with its data, or compares models as they are, and has no
    student to ask or tell of.
    """
    if not load_recipe(run.path / "recipe.yaml").arms:
        return UserError(
            translate("{path} has no student: it compares models as they are.").format(
                path=run.path
            ),
            translate("What they answered is in {path}").format(
                path=run.path / "report" / "index.html"
            ),
        )
    folders = ", ".join(map(str, dataset_folders(run)))
    return UserError(
        translate("{path} has no student: it ends with the data set.").format(path=run.path),
        translate("Data set: {path}").format(path=folders) if folders else go_on(run),
    )


def read_dataset(source: Source, arm: str) -> Dataset:
    """The data set of ``arm``. Raises ``UserError`` where its examples are not curated yet."""
    run = source.run
    stages = run.stages()
    if f"curation/{arm}" not in stages:
        raise UserError(
            translate("The examples of arm '{arm}' are not finished in {path}.").format(
                arm=arm, path=run.path
            ),
            go_on(run),
        )
    curated = list(run.stage(f"curation/{arm}").read("examples", Example))
    asked = "questions" in stages
    training, held_out, left_out = kept_apart(run, curated) if asked else (curated, [], [])
    origins = {example.document_id for example in (*training, *held_out)}
    documents = run.stage("documents").read("documents", Document)
    synthesis = run.stage(f"synthesis/{arm}")
    return Dataset(
        source,
        arm,
        training,
        held_out,
        left_out,
        list(synthesis.read("examples", Example)),
        sorted((d for d in documents if d.id in origins), key=lambda d: (d.source, d.id)),
        list(synthesis.read("facts", Fact)),
    )


def unpublishable(dataset: Dataset) -> list[tuple[str, str]]:
    """The origins (and their licences) that forbid to publish what was made from them."""
    kept = [origin for origin in dataset.origins if keeps_from_publishing(origin[1])]
    named = {name for name, _ in kept}
    mixed = (one for one, _ in dataset.mixed if one.name not in named)
    return kept + [(one.name, one.terms) for one in mixed if keeps_from_publishing(one.terms)]


def require_publishable(dataset: Dataset) -> None:
    """Raise ``UserError`` where a licence forbids to publish the set."""
    kept = unpublishable(dataset)
    if not kept:
        return
    stated = Counter(licence for _, licence in kept)
    licences = ", ".join(f"'{name}' ({count})" for name, count in stated.most_common(5))
    raise UserError(
        translate(
            "Licences forbid to publish what arm '{arm}' was made from: {licences}. The first: "
            "{document}"
        ).format(arm=dataset.arm, licences=licences, document=kept[0][0]),
        translate(
            "Leave those documents out of the recipe and run it again; or export for your own use "
            "alone, which the card will say: --private"
        ),
    )


def set_licence(dataset: Dataset) -> tuple[str, str]:
    """The licence of the set as hubs spell it, or empty and why it is not known.

    It is known where every example has an origin, all origins state the same licence, hubs know
    that, and the terms of the teacher and of those whose sets are mixed in ask for nothing.
    """
    stated = {licence for _, licence in dataset.origins}
    if dataset.without_document and dataset.seeds is None:
        return "", "no_document"
    if "" in stated:
        return "", "not_stated"
    if dataset.classes != {"permissive"}:
        return "", "teacher"
    identifiers = {hub_identifier(licence) for licence in stated}
    if "" in identifiers:
        return "", "unrecognised"
    return (identifiers.pop(), "") if len(identifiers) == 1 else ("", "several")
