"""Instructions that people wrote, read from a file: what methods for instructions begin with."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from teichaku.core.records import SEED, Example, content_id
from teichaku.core.replies import text_value
from teichaku.core.text import normalise
from teichaku.recipes.rows import Row, first_filled, read_rows, refuse, texts_of

#: What a column or key may be called; the first that is filled counts.
_NAMES: dict[str, tuple[str, ...]] = {
    "instruction": ("instruction", "指示", "prompt", "question", "質問", "text"),
    "input": ("input", "入力", "context", "文脈"),
    "output": ("output", "出力", "response", "answer", "回答", "答え"),
    "category": ("category", "カテゴリ", "カテゴリー", "分類"),
    "viewpoint": ("viewpoint", "観点"),
    "licence": ("licence", "license", "ライセンス"),
    "id": ("id", "番号"),
}
_IS_CLASSIFICATION = ("is_classification", "分類課題")
_TRUE = frozenset({"true", "1", "yes", "はい", "○"})


def read_seeds(path: Path, language: str, licence: str = "") -> list[Example]:
    """The seeds in the JSONL, JSON, YAML, CSV or TSV file at ``path``, as examples of the method
    ``seed`` without a document.

    Each has ``instruction`` and ``output``, or what :data:`_NAMES` lists for them, and may have
    ``input``, ``category``, ``viewpoint`` (the category where there is none), ``licence`` (else
    it is ``licence``; it stands in ``licence_class``), ``id``, and ``is_classification`` (then
    its style is ``classification``). Instances in a list ``instances``, as in the file of
    Self-Instruct, become one example each. Other keys are left aside.

    Raises ``UserError`` with all mistakes and their lines.
    """
    rows = list(read_rows(path))
    seeds: dict[str, Example] = {}
    places: dict[str, str] = {}
    mistakes: list[str] = []
    for row in rows:
        for values in _instances(row.values):
            found = _seed(replace(row, values=values), language, licence)
            if isinstance(found, str):
                mistakes.append(f"{row.place}: {found}")
            elif found.id in seeds:
                mistakes.append(f"{row.place}: the same as {places[found.id]} ({found.id})")
            else:
                seeds[found.id], places[found.id] = found, row.place
    if not rows:
        mistakes = ["it holds no seeds"]
    hint = "Each seed has 'instruction' and 'output', and 'input' where there is one."
    refuse(path, "seeds", mistakes, hint)
    return list(seeds.values())


def _instances(values: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A row for each of its instances, or the row itself."""
    instances = values.get("instances")
    # Without any, what is lacking is told of the row itself.
    if (
        not instances
        or not isinstance(instances, list)
        or not all(isinstance(item, dict) for item in instances)
    ):
        yield values
        return
    for number, instance in enumerate(instances):
        # Their instruction is one, and so is their id, which must tell them apart.
        named = f"{values['id']}-{number + 1}" if values.get("id") and len(instances) > 1 else ""
        yield {**values, **instance, **({"id": named} if named else {})}


def _seed(row: Row, language: str, licence: str) -> Example | str:
    """The seed in a row, or what is wrong with it."""
    texts = texts_of(row, _NAMES, ("instruction", "output"))
    if isinstance(texts, str):
        return texts
    flag = first_filled(row.values, _IS_CLASSIFICATION)
    is_classification = flag is True or normalise(text_value(flag)) in _TRUE
    return Example(
        texts["id"] or content_id(SEED, texts["instruction"], texts["input"], texts["output"]),
        "",
        "",
        SEED,
        texts["instruction"],
        texts["output"],
        category=texts["category"] or texts["viewpoint"],
        style="classification" if is_classification else "",
        language=language,
        licence_class=texts["licence"] or licence,
        input=texts["input"],
    )
