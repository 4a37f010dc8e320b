"""The gate before training: benchmark items in what an arm would be trained on.

What is looked for are the items of the control sets that the models of the run are asked, of sets
that ship, and of files of the user's. The gate stands behind the filters of each arm, so that
nothing that leaks becomes a question, an example, or a row of a data set. The run's own questions
are apart by :class:`~teichaku.evaluation.wording.WordingIndex`; what is listed here of them are
those that are asked as they stand.
"""

from collections.abc import Iterable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from teichaku.core.errors import UserError
from teichaku.core.locale import translate
from teichaku.core.records import Dropped, Example, Question, content_id
from teichaku.core.replies import text_value
from teichaku.core.run_folder import StageFolder, fingerprint
from teichaku.core.text import normalise
from teichaku.curation.leak_probes import BenchmarkItem
from teichaku.curation.leaks import Leak, LeakIndex, drop_leaks
from teichaku.evaluation.benchmarks.catalogue import shipped
from teichaku.evaluation.benchmarks.masked_sentences import BENCHMARK as MASKED
from teichaku.evaluation.benchmarks.rows import Item, items_of
from teichaku.recipes import counts
from teichaku.recipes.control_sets import controls_of, prepared_sets
from teichaku.recipes.leaks_schema import LeakColumns, Leaks
from teichaku.recipes.rows import Row, read_rows, refuse, texts_of
from teichaku.recipes.schema import Recipe
from teichaku.recipes.study import Study, separate

#: What a column or key of a benchmark may be called; the first that is filled counts.
_NAMES: dict[str, tuple[str, ...]] = {
    "question": ("question", "質問", "問題", "設問", "问题", "prompt", "instruction", "input"),
    "answer": ("answer", "reference", "output", "target", "label", "答え", "回答", "正解", "答案"),
    "choices": ("choices", "options", "選択肢", "选项"),
}
#: Where the choices have a column each: A to J, or choice0, option_1 ...
_LETTERS = "abcdefghij"
_NUMBERED = ("choice", "option", "選択肢")
#: Splits of a set that hold examples, solutions or verdicts, but nothing that is asked.
_NOT_ASKED = frozenset({"train", "references", "verdicts"})
#: How the inputs of llm-jp-eval say where the question and the choices begin.
_QUESTION, _CHOICES = "質問：", "選択肢："
#: A report shows so many leaks; all of them stand in leaks.parquet.
_SHOWN = 10
#: Questions that no wording was chosen for to be apart from the training text.
_ASKED_AS_THEY_STAND = ("independent", "unseen")


def leaks_fingerprint(study: Study) -> dict[str, Any]:
    """What the gate depends on: all that it looks for, and what becomes of it; nothing where it
    looks for nothing.
    """
    config = _gate(study.recipe)
    items = _items(study, config)
    if not items:
        return {}
    looked_for = fingerprint([astuple(item) for item in items])
    names = {"action", "threshold"}
    return {"leaks": {**config.model_dump(include=names), "items": looked_for}}


def question_leaks_fingerprint(recipe: Recipe) -> dict[str, Any]:
    """What the list of leaking questions depends on; nothing where the recipe has no section."""
    return {} if recipe.leaks is None else {"leaks": recipe.leaks.threshold}


def _gate(recipe: Recipe) -> Leaks:
    """The section of ``recipe``, or the usual one: it looks for the control sets alone."""
    return recipe.leaks or Leaks()


def _sources(study: Study, config: Leaks) -> list[str]:
    """What is looked for, by the names of files and sets."""
    controls = controls_of(study.recipe) if config.controls else ()
    keys = (one.key for one in controls if one.name != MASKED)
    return list(dict.fromkeys((*config.files, *config.sets, *keys)))


def _items(study: Study, config: Leaks) -> list[BenchmarkItem]:
    """All that is looked for. Control sets that a teacher makes of the documents are not among
    it: they ask for what training is to teach.
    """
    found = named_items(config, study.root)
    if config.controls:
        for key, of in prepared_sets(study.recipe, study.root).items():
            found += [item_of_set(item, key) for item in of.items]
    return found


def named_items(config: Leaks, root: Path) -> list[BenchmarkItem]:
    """The items of the files, relative to ``root``, and of the sets that ``config`` names.

    Raises ``UserError`` as :func:`read_items`.
    """
    found = [item for n in config.files for item in read_items(root / n, n, config.columns)]
    found += [
        item_of_set(item, name)
        for name in config.sets
        for split in shipped()[name].splits
        if split not in _NOT_ASKED
        for item in items_of(name, split)
    ]
    return found


def item_of_set(item: Item, name: str) -> BenchmarkItem:
    """An item of the set ``name`` as it may stand in a training text: its question without the
    passage and the list of choices that llm-jp-eval's input puts around it, and its answer in
    words. Where the answer is a label that has no words, none is looked for.
    """
    asked = item.question.question
    answer = item.references[0] if item.references else ""
    if item.labels:
        worded = dict(zip(item.labels, item.choices, strict=False))
        answer = worded.get(answer, "")
    return BenchmarkItem(item.question.id, name, _asked(asked), answer, item.choices)


def _asked(text: str) -> str:
    lines = text.split("\n")
    heads = [place for place, line in enumerate(lines) if line.startswith(_QUESTION)]
    if not heads:
        return text
    behind = lines[heads[-1] :]
    asked = "\n".join(line for line in behind if not line.startswith(_CHOICES))
    return asked.removeprefix(_QUESTION) or text


def without_leaks(
    study: Study, stage: str, folder: StageFolder, examples: Sequence[Example]
) -> tuple[list[Example], list[Dropped], dict[str, Any]]:
    """``examples`` without those into which an item of a benchmark leaks, these, and notes for
    the report; every leak stands in ``leaks.parquet``.

    Raises ``UserError`` where something leaks and the recipe says ``stop``, once the list is
    written.
    """
    config = _gate(study.recipe)
    items = _items(study, config)
    if not items:
        return list(examples), [], {}
    index, leaks = LeakIndex(items, config.threshold), list[Leak]()
    kept, fallen = separate(drop_leaks(index, leaks.append)(examples))
    _write(folder, leaks)
    told = translate("{leaked} of {total} benchmark items stand in {examples}").format(
        leaked=len({leak.item_id for leak in leaks}),
        total=len(index.items),
        examples=counts.examples(len(fallen)),
    )
    if leaks and config.action == "stop":
        first = translate("The first: {evidence}").format(evidence=fallen[0].evidence)
        hint = translate(
            "All of them: {path}. Have them left out (leaks: {{action: drop}}), or mend the "
            "documents."
        )
        raise UserError(
            f"{stage}: {told}. {first}", hint.format(path=folder.path / "leaks.parquet")
        )
    if config.action == "report":
        kept, fallen = list(examples), []
    if leaks:
        fall, stay = translate("; they fall"), translate("; they stay")
        done = fall if config.action == "drop" else stay
        study.progress.say(f"! {stage}: {told}{done} (leaks.parquet)")
    about = {
        "action": config.action,
        "files": _sources(study, config),
        "threshold": config.threshold,
        "texts": len(examples),
    }
    return kept, fallen, {"leaks": {**about, **_notes(index, leaks)}}


def _notes(index: LeakIndex, leaks: Sequence[Leak]) -> dict[str, Any]:
    shown = sorted(leaks, key=lambda leak: (-leak.ratio, leak.source, leak.example_id))
    return {
        "items": len(index.items),
        "leaking_items": len({leak.item_id for leak in leaks}),
        "leaking_examples": len({leak.example_id for leak in leaks}),
        "shown": [
            {"source": leak.source, "item": leak.item, "part": leak.part, "ratio": leak.ratio,
             "piece": leak.piece, "example_id": leak.example_id}
            for leak in shown[:_SHOWN]
        ],
    }  # fmt: skip


def list_question_leaks(
    study: Study,
    folder: StageFolder,
    questions: Iterable[Question],
    training: Iterable[Example],
) -> dict[str, int]:
    """Write which questions of the run that are asked as they stand leak into which examples,
    where the recipe has a section ``leaks``, and count them. They are told, not dropped: the
    user chose the former, and the latter were drawn from the examples.
    """
    config = study.recipe.leaks
    if config is None:
        return {}
    items = (
        BenchmarkItem(question.id, f"questions, {question.kind}", question.question,
                      question.reference)
        for question in questions
        if question.kind in _ASKED_AS_THEY_STAND
    )  # fmt: skip
    # Their answers are what training is to teach.
    index = LeakIndex(items, config.threshold, answers_alone=False)
    leaks = [leak for _, found in index.leaks(training) for leak in found]
    _write(folder, leaks)
    return {"listed": len({leak.item_id for leak in leaks})}


def _write(folder: StageFolder, leaks: Sequence[Leak]) -> None:
    folder.write("leaks", Leak, sorted(leaks, key=lambda leak: (leak.example_id, leak.item_id)))


def read_items(path: Path, name: str, columns: LeakColumns) -> list[BenchmarkItem]:
    """The items of the benchmark in the JSONL, JSON, YAML, CSV or TSV file at ``path``, which
    the recipe calls ``name``.

    ``columns`` name what else has one of :data:`_NAMES`. Choices may be a list, an object with a
    list ``text``, or columns of their own (A, B, ... or choice0, choice1, ...); an answer may be
    the letter of a choice, or a list of which the first counts. Raises ``UserError`` where the
    file cannot be read or has no item, and with all mistakes and their lines where rows have no
    question.
    """
    named = {part: (own,) if own else _NAMES[part] for part, own in columns}
    found: list[BenchmarkItem] = []
    mistakes: list[str] = []
    rows = list(read_rows(path))
    for row in rows:
        item = _item(row, name, named)
        if isinstance(item, str):
            mistakes.append(f"{row.place}: {item}")
        else:
            found.append(item)
    if not rows:
        mistakes = ["it has no items"]
    known = "; ".join(f"{part}: {', '.join(names)}" for part, names in named.items())
    hint = (
        f"Each item has a question, by one of these names ({known}), or name its columns: "
        "leaks: {columns: {question: NAME}}"
    )
    refuse(path, "benchmark", mistakes, hint)
    return found


def _item(row: Row, name: str, named: dict[str, tuple[str, ...]]) -> BenchmarkItem | str:
    """The item in a row, or what is wrong with it."""
    if row.fault:
        return row.fault
    choices = _choices(row, named["choices"])
    texts = texts_of(row, {"question": named["question"]}, ("question",))
    if isinstance(texts, str):
        return texts
    question, answer = texts["question"], _answer(row, named["answer"], choices)
    source = f"{name}, {row.place}"
    key = content_id(question, answer, *choices)
    return BenchmarkItem(key, source, question, answer, tuple(choices))


def _choices(row: Row, names: Sequence[str]) -> list[str]:
    for name in map(normalise, names):
        value = row.values.get(name)
        value = value.get("text") if isinstance(value, dict) else value
        if isinstance(value, list):
            return [text for one in value if (text := _text(one))]
        if text := _text(value):
            return [line.strip() for line in text.split("\n") if line.strip()]
    letters = [row.values.get(letter) for letter in _LETTERS]
    if all(letters[:2]):
        return [text for one in letters if (text := _text(one))]
    numbered = (
        row.values.get(f"{word}{mark}{number}")
        for word in _NUMBERED for mark in ("", "_", " ") for number in range(10)
    )  # fmt: skip
    return [text for one in numbered if (text := _text(one))]


def _answer(row: Row, names: Sequence[str], choices: Sequence[str]) -> str:
    """The answer as text; empty where there is none, or where only a number says which of the
    choices it is, for benchmarks count from 0 or from 1.
    """
    value = next((v for n in names if (v := row.values.get(normalise(n))) is not None), None)
    value = value.get("text") if isinstance(value, dict) else value
    value = value[0] if isinstance(value, list) and value else value
    answer = _text(value)
    if not choices or answer in choices:
        return answer
    letter = normalise(answer).strip("().")
    place = _LETTERS.find(letter) if len(letter) == 1 else -1
    if 0 <= place < len(choices):
        return choices[place]
    return "" if letter.isdigit() else answer


def _text(value: Any) -> str:
    """A value of a cell as text; an object or a list is none."""
    return text_value(value).strip() if isinstance(value, str | int | float) else ""
