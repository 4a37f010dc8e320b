"""Rows of the shipped sets become items: questions of kind ``control`` with what marks them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from teichaku.core.errors import UserError
from teichaku.core.records import Question, content_id
from teichaku.evaluation.benchmarks.catalogue import Benchmark, benchmark, read_rows

#: A row of the NER set without an entity.
NO_ENTITY = "なし"


@dataclass(frozen=True, slots=True)
class Item:
    """A question with all that its marking needs.

    ``references`` are all answers that are right, the question's own first; ``labels`` what may
    be answered where the form is ``choice``, and ``choices`` their texts, where they have any.
    ``checks`` are the instructions of M-IFEval with their arguments. ``turn`` counts from 0 in
    the ``conversation``, which is empty where there is one turn. ``criteria`` is what a judge is
    told about this item alone.
    """

    question: Question
    references: tuple[str, ...]
    labels: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    checks: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    conversation: str = ""
    turn: int = 0
    criteria: str = ""


def items_of(name: str, split: str = "test") -> list[Item]:
    """The items of a shipped set, in the order of its file.

    Raises ``UserError`` where the set does not ship, has no such split or has changed, or where
    a reference is no label of it.
    """
    of = benchmark(name)
    if of.reader == "turns":
        return list(_conversations(of, split))
    # The further splits of a set are all in the form of llm-jp-eval.
    read = _READERS["input_output" if split in ("dev", "train") else of.reader]
    rows = read_rows(of, split)
    items = [_item(of, split, place, row, read(row)) for place, row in enumerate(rows)]
    check_labels(items, of.title)
    return items


@dataclass(frozen=True)
class _Read:
    """What a reader finds in a row."""

    text: str
    references: Sequence[str]
    category: str = ""
    choices: Sequence[str] = ()
    passage: str = ""
    checks: Sequence[tuple[str, Mapping[str, Any]]] = ()
    criteria: str = ""


def _item(of: Benchmark, split: str, place: int, row: Mapping[str, Any], read: _Read) -> Item:
    identity = content_id("control", of.name, split, place, read.text)
    # A text that stands twice in a set is one thing to know.
    shared = _image(of, str(row[of.cluster])) if of.cluster in row else read.text
    question = Question(
        identity,
        "control",
        content_id("control", of.name, shared),
        content_id("control", of.name, read.passage) if read.passage else "",
        "",
        read.text,
        read.references[0],
        read.category,
        benchmark=of.name,
    )
    return Item(
        question,
        tuple(dict.fromkeys(read.references)),
        of.labels,
        tuple(read.choices),
        tuple(read.checks),
        criteria=read.criteria,
    )


def _image(of: Benchmark, shared: str) -> str:
    """Pairs of captions are of one image, whose number their identifiers begin with."""
    if of.cluster != "yjcaptions_id":
        return shared
    return shared.partition("-")[0].partition("_")[0]


def check_labels(items: Iterable[Item], title: str) -> None:
    """Raises ``UserError`` where a reference is none of the labels that may be answered."""
    beyond = {
        item.question.reference
        for item in items
        if item.labels and item.question.reference not in item.labels
    }
    if beyond:
        (labels,) = {item.labels for item in items}
        raise UserError(
            f"{title} has answers outside of its labels: {', '.join(sorted(beyond))}.",
            f"Its labels are {', '.join(labels)}: mend the list, or the rows.",
        )


def _input_output(row: Mapping[str, Any]) -> _Read:
    return _Read(row["input"], [row["output"]])


def _jsquad(row: Mapping[str, Any]) -> _Read:
    text = f"文章：{row['context']}\n質問：{row['question']}"
    return _Read(text, [answer["text"] for answer in row["answers"]], passage=row["context"])


def _jcommonsenseqa(row: Mapping[str, Any]) -> _Read:
    choices = [row[f"choice{number}"] for number in range(5)]
    shown = ",".join(f"{number}.{choice}" for number, choice in enumerate(choices))
    return _Read(f"質問：{row['question']}\n選択肢：{shown}", [str(row["label"])], choices=choices)


def _jnli(row: Mapping[str, Any]) -> _Read:
    return _Read(f"前提：{row['sentence1']}\n仮説：{row['sentence2']}", [row["label"]])


def _jsts(row: Mapping[str, Any]) -> _Read:
    return _Read(f"文1：{row['sentence1']}\n文2：{row['sentence2']}", [str(row["label"])])


def _jcola(row: Mapping[str, Any]) -> _Read:
    return _Read(f"文：{row['sentence']}", [str(row["label"])], category=row["source"])


def _jmmlu(row: Mapping[str, Any]) -> _Read:
    choices = row["choices"]
    shown = ",".join(f"{letter}.{c}" for letter, c in zip("ABCD", choices, strict=True))
    text = f"質問：{row['question']}\n選択肢：{shown}"
    return _Read(text, [row["answer"]], row["subject"], choices)


def _moral(row: Mapping[str, Any]) -> _Read:
    return _Read(f"行動：{row['sent']}", [row["label"]])


def _mgsm(row: Mapping[str, Any]) -> _Read:
    return _Read(f"問題：{row['question']}", [row["answer"]])


def _ner(row: Mapping[str, Any]) -> _Read:
    found = [f"{entity['name']}（{entity['type']}）" for entity in row["entities"]]
    return _Read(row["text"], ["\n".join(dict.fromkeys(found)) or NO_ENTITY])


def _ami(row: Mapping[str, Any]) -> _Read:
    return _Read(row["en"], [row["ja"]])


def _instructions(row: Mapping[str, Any]) -> _Read:
    checks = list(zip(row["instruction_id_list"], row["kwargs"], strict=True))
    kind = row["instruction_id_list"][0].split(":")[1]
    return _Read(row["prompt"], [""], kind, checks=checks)


def _elyza(row: Mapping[str, Any]) -> _Read:
    return _Read(row["input"], [row["output"]], criteria=row["eval_aspect"])


_READERS: dict[str, Callable[[Mapping[str, Any]], _Read]] = {
    "input_output": _input_output,
    "wiki": _input_output,
    "jsquad": _jsquad,
    "jcommonsenseqa": _jcommonsenseqa,
    "jnli": _jnli,
    "jsts": _jsts,
    "jcola": _jcola,
    "jmmlu": _jmmlu,
    "moral": _moral,
    "mgsm": _mgsm,
    "ner": _ner,
    "ami": _ami,
    "instructions": _instructions,
    "elyza": _elyza,
}


def _conversations(of: Benchmark, split: str) -> Iterable[Item]:
    """One item a turn; the turns of a conversation share their document. A reference that is
    reported wrong is left out, because a judge would take it for the solution.
    """
    references = {
        row["question_id"]: row["turns"]
        for row in (read_rows(of, "references") if "references" in of.splits else [])
        if row["question_id"] not in of.doubtful_references
    }
    for row in read_rows(of, split):
        conversation = content_id("control", of.name, row["question_id"])
        known = references.get(row["question_id"], [])
        for turn, text in enumerate(row["turns"]):
            reference = known[turn] if turn < len(known) else ""
            question = Question(
                content_id("control", of.name, row["question_id"], turn, text),
                "control",
                conversation,
                "",
                "",
                text,
                reference,
                row["category"],
                benchmark=of.name,
            )
            yield Item(question, (reference,), conversation=conversation, turn=turn)
