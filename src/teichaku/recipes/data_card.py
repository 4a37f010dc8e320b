"""The card of an exported data set: a README.md that people read and hubs of data sets too.

What is not known is said to be not known; nothing is filled in by habit.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from teichaku import __version__
from teichaku.core.records import MIX, SEED, Document, Example
from teichaku.curation.personal_data.masking import PersonalDatum
from teichaku.recipes.dataset import Dataset, set_licence, unpublishable
from teichaku.recipes.filter_schema import PersonalData
from teichaku.recipes.licences import keeps_from_publishing
from teichaku.recipes.personal_data_notes import personal_data_counts

_CARDS = Path(__file__).parent / "cards"
_FALLBACK = "en"
#: Documents that the card names; all of them stand in documents.jsonl.
_DOCUMENTS = 50
#: Attributions of one licence that the card lists, and the longest of them, in characters.
_ATTRIBUTIONS, _ATTRIBUTION_CHARACTERS = 10, 160
#: Longest text of a sample, in characters.
_SAMPLE_CHARACTERS = 400
#: What Markdown would take for its own.
_MARKUP = re.compile(r"([\\`*_\[\]|#~$])")


@dataclass(frozen=True)
class WrittenFile:
    """A file of the export: its rows, what it could not hold by reason, and its first rows.

    ``also`` is the file that has the same rows as Parquet; empty where there is none.
    """

    name: str
    rows: int
    also: str = ""
    left_out: Mapping[str, int] = field(default_factory=dict)
    samples: Sequence[Mapping[str, Any]] = ()


def render_card(
    dataset: Dataset, files: Sequence[WrittenFile], language: str = "", private: bool = False
) -> str:
    """The card in ``language`` (empty: the recipe's), in English where there is no other.

    ``private`` says that the set is not for publishing.
    """
    licence, reason = ("", "private") if private else set_licence(dataset)
    code = language or dataset.source.recipe.language
    name = code if code in card_languages() else _FALLBACK
    body = _environment().get_template(f"{name}.md")
    told = {
        **_origin(dataset),
        **_rights(dataset),
        **_making(dataset),
        "files": files,
        "samples": [
            {"name": file.name, "text": _fenced(_lines(file.samples), "json")}
            for file in files
            if file.samples
        ],
        "private": private,
        "licence": licence,
        "licence_reason": reason,
    }
    return f"---\n{_front_matter(dataset, files, licence)}---\n\n{body.render(told)}"


def card_languages() -> list[str]:
    """The languages that a card can be written in."""
    return sorted(path.stem for path in _CARDS.glob("*.md"))


def citations() -> dict[str, list[dict[str, str]]]:
    """What to cite, by method; only what was seen at the source is in it."""
    loaded: dict[str, list[dict[str, str]]] = yaml.safe_load(
        Path(__file__).with_name("citations.yaml").read_text(encoding="utf-8")
    )
    return loaded


def _origin(dataset: Dataset) -> dict[str, Any]:
    """Which run made the set, and how many examples it has."""
    source, rows = dataset.source, dataset.examples
    about = source.run.read_json("run.json")
    return {
        "title": _title(dataset),
        "run": source.recipe.name,
        "arm": dataset.arm,
        "version": __version__,
        "run_version": about.get("teichaku", ""),
        "commit": about.get("commit", ""),
        "seed": source.recipe.seed,
        "training": len(dataset.training),
        "held_out": len(dataset.held_out),
        "separated": bool(dataset.held_out),
        "by_model": sum(bool(example.prompt) for example in rows),
        "by_people": sum(example.method == SEED for example in rows),
        "by_others": sum(example.method == MIX for example in rows),
    }


def _rights(dataset: Dataset) -> dict[str, Any]:
    """Whose terms and licences the set is under."""
    source, rows = dataset.source, dataset.examples
    teacher = source.recipe.teacher
    stated = Counter(document.licence for document in dataset.documents)
    named = _attributions(dataset.documents)
    private = unpublishable(dataset)
    kept = {name for name, _ in private}
    return {
        "teachers": _counted(example.teacher for example in rows),
        "model": teacher.model if teacher else "",
        "backend": teacher.backend if teacher else "",
        "teacher_licence": source.teacher_licence or (teacher.licence if teacher else ""),
        "terms": source.terms,
        "classes_of_rows": _counted(e.licence_class for e in rows if e.licence_class),
        "documents": dataset.documents,
        "shown": _DOCUMENTS,
        "shown_names": _ATTRIBUTIONS,
        "without_document": dataset.without_document,
        "seeds": dataset.seeds,
        "mixed": [(one, count, one.name in kept) for one, count in dataset.mixed],
        "licences": [
            (name, count, keeps_from_publishing(name), named[name])
            for name, count in sorted(stated.items())
        ],
        "attributions": any(any(names) for names in named.values()),
        "kept_private": len(private),
    }


def _attributions(documents: Iterable[Document]) -> dict[str, dict[str, int]]:
    """Whom the documents of each licence ask to name, in how many of them; empty: nobody."""
    named: dict[str, list[str]] = {}
    for document in documents:
        named.setdefault(document.licence, []).append(document.attribution)
    return {licence: _counted(names) for licence, names in named.items()}


def _making(dataset: Dataset) -> dict[str, Any]:
    """How the examples were made: methods, prompts, filters, counts, tokens."""
    recipe, rows = dataset.source.recipe, dataset.examples
    price = getattr(recipe.teacher, "price", None)  # a model in process has none
    known = citations()
    used: dict[str, int | None] = {**_counted(example.method for example in rows)}
    used |= {str(step.name): None for step in recipe.curation if step.name in known}
    methods = [
        {
            "name": name,
            "rows": count,
            # Data of others is made by nothing that could be cited here.
            "known": name in known or name == MIX,
            "citations": [_citation(entry) for entry in known.get(name, ())],
        }
        for name, count in used.items()
    ]
    arm = recipe.arms[dataset.arm]
    settings = [method.model_dump(mode="json") for method in arm.examples]
    settings += [{"mix": arm.mix.model_dump(mode="json", exclude_none=True)}] if arm.mix else []
    return {
        "methods": methods,
        "settings": _fenced(_yaml(settings), "yaml"),
        "prompts": _counted(example.prompt for example in rows),
        "own_prompts": recipe.prompts is not None,
        "filters": [_in_words(step.model_dump()) for step in recipe.curation],
        "stages": _stages(dataset),
        "looked_for": _looked_for(dataset),
        "currency": price.currency if price else "",
        "spent": {"set": _spent(rows), "written": _spent(dataset.written)},
    }


def _stages(dataset: Dataset) -> list[dict[str, Any]]:
    """What came in, went on and fell, from the documents to the export."""
    arm, stages = dataset.arm, dataset.source.run.stages()
    names = ("documents", f"synthesis/{arm}", f"curation/{arm}")
    counted = [(name, stages[name]["counts"]) for name in names if name in stages]
    left_out = _counted(record.reason for record in dataset.left_out)
    rows = len(dataset.examples)
    whole = {"in": rows + len(dataset.left_out), "out": rows, "reasons": left_out}
    return [
        {"name": name, "taken": count["in"], "given": count["out"], "reasons": count["reasons"]}
        for name, count in [*counted, ("export", whole)]
    ]


def _looked_for(dataset: Dataset) -> dict[str, Any]:
    """What curation found of personal data, by kind, and of the benchmarks: how much, never what.
    None where nobody looked. ``kinds`` are those of personal data that were looked for.
    """
    run, name = dataset.source.run, f"curation/{dataset.arm}"
    looking = [step for step in dataset.source.recipe.curation if isinstance(step, PersonalData)]
    found = personal_data_counts(run.stage(name).read("personal_data", PersonalDatum))
    notes = (run.stage(name).summary() or {}).get("notes") or {}
    return {
        "personal_data": found if looking else None,
        "kinds": list(dict.fromkeys(kind for step in looking for kind in step.kinds)),
        "leaks": notes.get("leaks"),
    }


def _spent(rows: Sequence[Example]) -> dict[str, float]:
    return {
        "rows": len(rows),
        "prompt": sum(example.prompt_tokens for example in rows),
        "completion": sum(example.completion_tokens for example in rows),
        "price": sum(example.price for example in rows),
    }


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _citation(entry: Mapping[str, str]) -> dict[str, str]:
    return {"authors": "", "title": "", "url": "", **entry}


def _in_words(step: dict[str, Any]) -> str:
    """A filter with its settings: ``grounded (threshold 0.8)``."""
    name = step.pop("name")
    settings = ", ".join(f"{key} {value}" for key, value in step.items())
    return f"{name} ({settings})" if settings else str(name)


def _title(dataset: Dataset) -> str:
    recipe = dataset.source.recipe
    return recipe.name if len(recipe.arms) == 1 else f"{recipe.name} ({dataset.arm})"


def _front_matter(dataset: Dataset, files: Sequence[WrittenFile], licence: str) -> str:
    """What hubs read; a key whose value is not known is left out."""
    rows = dataset.examples
    languages = sorted({example.language for example in rows} - {""})
    asked = any(example.document_id and not example.is_text for example in rows)
    content = {
        "pretty_name": _title(dataset),
        "language": languages,
        "license": licence,
        "tags": ["teichaku", *(["synthetic"] if any(e.prompt for e in rows) else [])],
        "task_categories": [*(["question-answering"] if asked else []), "text-generation"],
        "size_categories": [size_category(len(rows))],
        "configs": _configs(files),
    }
    return _yaml({key: value for key, value in content.items() if value})


def _configs(files: Sequence[WrittenFile]) -> list[dict[str, Any]]:
    """The parts that a loader of data sets may ask for by name; examples.parquet is the default.

    All are Parquet, because loaders take the files of one set to be of one kind.
    """
    whole = [{"split": "train", "path": "examples.parquet"}]
    if any(file.name == "held_out.parquet" for file in files):
        whole.append({"split": "test", "path": "held_out.parquet"})
    forms = [file.also for file in files if file.also]
    parts = [(form.removesuffix(".parquet"), [{"split": "train", "path": form}]) for form in forms]
    return [
        {"config_name": "examples", "default": True, "data_files": whole},
        *({"config_name": name, "data_files": data} for name, data in parts),
    ]


def size_category(rows: int) -> str:
    """The class of size that hubs sort data sets by: ``n<1K``, ``1K<n<10K``, ..."""
    bounds = ["1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T"]
    above = [bound for power, bound in enumerate(bounds, 3) if rows >= 10**power]
    if not above:
        return f"n<{bounds[0]}"
    return f"{above[-1]}<n<{bounds[len(above)]}" if len(above) < len(bounds) else f"n>{bounds[-1]}"


def _yaml(content: Any) -> str:
    return str(yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=1000))


def _lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "\n".join(json.dumps(_clipped(row), ensure_ascii=False) for row in rows)


def _clipped(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _SAMPLE_CHARACTERS:
        return f"{value[:_SAMPLE_CHARACTERS]}…"
    if isinstance(value, Mapping):
        return {key: _clipped(inner) for key, inner in value.items()}
    return [_clipped(inner) for inner in value] if isinstance(value, list | tuple) else value


def _fenced(text: str, kind: str) -> str:
    """A block of code that nothing in ``text`` can end."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{kind}\n{text.rstrip()}\n{fence}"


def _cell(text: str) -> str:
    """``text`` in one line of a table, with nothing in it that Markdown or HTML would act on."""
    return _MARKUP.sub(r"\\\1", escape(" ".join(str(text).split()), quote=False))


def _names(text: str) -> str:
    """An attribution in a table; a paper may have hundreds of authors."""
    short = text[:_ATTRIBUTION_CHARACTERS]
    return _cell(short if short == text else f"{short}…")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_CARDS),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = _cell
    environment.filters["names"] = _names
    environment.filters["number"] = lambda value: f"{value:,}"
    environment.filters["tokens"] = lambda value: f"{round(value):,}" if value else "–"
    environment.filters["price"] = lambda value, unit: f"{value:,.4f} {unit}" if value else "–"
    return environment
