"""Answers whose marks or verdicts are known, which a judge is held against.

A file of the user's, or the verdicts of GPT-4 that come with the Japanese Vicuna QA Benchmark
(Sun et al. 2024): these ship, the answers that they are about are read from a copy of the
benchmark's repository.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from teichaku.core.errors import UserError
from teichaku.core.records import Answer, Comparison, Dropped, Judgement, Question, content_id
from teichaku.evaluation.benchmarks.catalogue import benchmark, read_rows
from teichaku.evaluation.benchmarks.rows import items_of
from teichaku.evaluation.judging.exchanges import Exchange, Pair
from teichaku.evaluation.sheets import read_winner

#: Who gave the marks of a file that does not say.
KNOWN = "known"

_VICUNA = "ja_vicuna_qa"
_ANSWERS = Path("data/jp_bench/model_answer")
_MARKED = ("question", "answer", "mark")
_COMPARED = ("question", "answer_a", "answer_b", "better")
_BESIDE = ("reference", "passage", "document", "by")
_HINT = (
    "A line is a JSON object: question, answer and mark (1 to 10); or question, answer_a, "
    "answer_b and better (A, B or same, 同じ). Beside these: reference, passage, document, by."
)


@dataclass(frozen=True)
class KnownItem:
    """An answer with its known ``marks``, one of each who marked it, or a pair with its known
    ``verdicts``.
    """

    shown: Exchange | Pair
    marks: tuple[Judgement, ...] = ()
    verdicts: tuple[Comparison, ...] = ()

    @property
    def id(self) -> str:
        """The id of the answer, or of both."""
        return "+".join(exchange.answer.id for exchange in self.exchanges)

    @property
    def said(self) -> tuple[Judgement | Comparison, ...]:
        """All that is known of it."""
        return (*self.marks, *self.verdicts)

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The answers that are shown."""
        return (self.shown,) if isinstance(self.shown, Exchange) else (
            self.shown.one, self.shown.other,
        )  # fmt: skip


@dataclass(frozen=True)
class KnownSet:
    """Items with what is known of them, and the rows that cannot be used. ``orders`` is how many
    orders of a pair the known verdicts are of.
    """

    items: tuple[KnownItem, ...]
    orders: int = 1
    dropped: tuple[Dropped, ...] = ()

    def drawn(self, count: int | None, seed: int) -> "KnownSet":
        """``count`` of the items (None: all), drawn by ``seed``; a smaller draw is part of a
        larger one.
        """
        order = sorted(self.items, key=lambda item: content_id(seed, "sample", item.id))
        return KnownSet(tuple(order[:count]), self.orders, self.dropped)


def read_known(path: Path) -> KnownSet:
    """The items of a file of JSON lines: answers with marks, or pairs with verdicts.

    Where several people (``by``) marked or compared the same, it is one item with what each said.
    Raises ``UserError`` with all mistakes and their lines.
    """
    try:
        # Texts may hold what splitlines() takes for the end of a line: U+2028, U+0085.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}.", _HINT) from error
    items: dict[str, KnownItem] = {}
    mistakes = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            item = _known_item(json.loads(line))
        except (ValueError, RecursionError) as error:
            mistakes.append(f"line {number}: {error}")
            continue
        earlier = items.get(item.id)
        if earlier is None:
            items[item.id] = item
        elif {row.id for row in earlier.said} & {row.id for row in item.said}:
            mistakes.append(f"line {number}: the same as an earlier line")
        else:
            items[item.id] = replace(
                earlier,
                marks=(*earlier.marks, *item.marks),
                verdicts=(*earlier.verdicts, *item.verdicts),
            )
    if len({type(item.shown) for item in items.values()}) > 1:
        mistakes.append("some lines have marks and others verdicts; make two files")
    if mistakes or not items:
        told = "\n".join(f"  {mistake}" for mistake in mistakes) or "  it has no line"
        raise UserError(f"{path} cannot be used:\n{told}", _HINT)
    return KnownSet(tuple(items.values()))


def _known_item(row: Any) -> KnownItem:
    """Raises ``ValueError`` where the row is in neither form."""
    if not isinstance(row, dict):
        raise ValueError("no JSON object")
    form = _MARKED if "answer" in row else _COMPARED
    _check_fields(row, form)
    by, passage = row.get("by", "") or KNOWN, row.get("passage", "")
    text, reference = row["question"], row.get("reference", "")
    identity = content_id(KNOWN, text, reference)
    # What has a document stands or falls with it.
    cluster = content_id(KNOWN, row["document"]) if row.get("document") else identity
    question = Question(identity, "control", cluster, "", "", text, reference, benchmark=KNOWN)
    if form is _COMPARED:
        one, other = (_exchange(question, side, row[f"answer_{side}"], passage) for side in "ab")
        return KnownItem(Pair(one, other), (), (_verdict(one, other, by, _place(row)),))
    mark = row["mark"]
    if isinstance(mark, bool) or not isinstance(mark, int | float) or not 1 <= mark <= 10:
        raise ValueError("mark is no number from 1 to 10")
    exchange = _exchange(question, KNOWN, row["answer"], passage)
    judged = content_id(KNOWN, by, exchange.answer.id)
    given = Judgement(judged, exchange.answer.id, by, KNOWN, float(mark), "")
    return KnownItem(exchange, (given,))


def _check_fields(row: Mapping[str, Any], form: Sequence[str]) -> None:
    if missing := [name for name in form if name not in row]:
        raise ValueError(f"{', '.join(missing)} is missing")
    if unknown := sorted(row.keys() - {*form, *_BESIDE}):
        raise ValueError(f"unknown: {', '.join(unknown)}")
    if other := [name for name in row if name != "mark" and not isinstance(row[name], str)]:
        raise ValueError(f"{', '.join(other)} is no text")
    if not row["question"].strip():
        raise ValueError("question is empty")


def _place(row: Mapping[str, str]) -> str:
    if row["answer_a"] == row["answer_b"]:
        raise ValueError("answer_a and answer_b are the same")
    try:
        return read_winner(row["better"])
    except ValueError:
        raise ValueError("better is none of A, B and same") from None


def read_vicuna(folder: Path) -> KnownSet:
    """The 480 shipped verdicts with the answers of the benchmark's repository at ``folder``.

    An answer of another length than the one that was judged is another answer: its pairs are
    dropped. Raises ``UserError`` where none of the answers is there.
    """
    of = benchmark(_VICUNA)
    rows = read_rows(of, "test")
    questions = {
        row["question_id"]: item.question for row, item in zip(rows, items_of(_VICUNA), strict=True)
    }
    verdicts = read_rows(of, "verdicts")
    models = {row[side] for row in verdicts for side in ("model_1", "model_2")}
    answers = {model: _vicuna_answers(folder, model) for model in sorted(models)}
    items: list[KnownItem] = []
    dropped: list[Dropped] = []
    for row in verdicts:
        found = _vicuna_item(row, questions[row["question_id"]], answers)
        if isinstance(found, Dropped):
            dropped.append(found)
        else:
            items.append(found)
    if not items:
        raise UserError(
            f"{folder} has no answers of the {of.title}: the verdicts ship with Teichaku, and the "
            "answers do not.",
            f"Get them: git clone {of.source.partition(' @ ')[0]} && git checkout "
            f"{of.source.partition(' @ ')[2]}; they lie in {_ANSWERS}/MODEL/results.jsonl.",
        )
    return KnownSet(tuple(items), 2, tuple(dropped))


def _vicuna_answers(folder: Path, model: str) -> dict[int, str]:
    """A model's answers by question; empty where there are none."""
    names = (_ANSWERS / model / "results.jsonl", _ANSWERS / f"{model}.jsonl")
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        return {}
    try:
        rows = [
            json.loads(line) for line in path.read_text("utf-8-sig").split("\n") if line.strip()
        ]
        return {row["question_id"]: row["choices"][0]["turns"][0] for row in rows}
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise UserError(
            f"{path} is no file of answers in FastChat's form: {error!r}.",
            "Take the benchmark's repository as it is.",
        ) from error


def _vicuna_item(
    row: Mapping[str, Any], question: Question, answers: Mapping[str, Mapping[int, str]]
) -> KnownItem | Dropped:
    number, models = row["question_id"], (row["model_1"], row["model_2"])
    texts = [answers[model].get(number) for model in models]
    lengths = [row["len_1"], row["len_2"]]
    if None in texts or [len(text or "") for text in texts] != lengths:
        reason = "answer_missing" if None in texts else "another_answer"
        record = json.dumps(dict(row), ensure_ascii=False, sort_keys=True)
        identity = content_id(KNOWN, number, *models)
        evidence = f"characters judged: {lengths}, here: {[text and len(text) for text in texts]}"
        return Dropped(identity, "Comparison", "calibration", reason, evidence, record)
    one, other = (
        _exchange(question, model, text or "", "", beside=other_model)
        for model, text, other_model in zip(models, texts, models[::-1], strict=True)
    )
    judged = []
    for game, shown in (("g1_winner", (one, other)), ("g2_winner", (other, one))):
        named = {"model_1": one, "model_2": other}.get(row[game])
        winner = None if row[game] == "error" else "tie"
        if named is not None:
            winner = "first" if named is shown[0] else "second"
        judged.append(_verdict(*shown, row["judge_model"], winner))
    return KnownItem(Pair(one, other), (), tuple(judged))


def _exchange(question: Question, arm: str, text: str, passage: str, beside: str = "") -> Exchange:
    """``beside`` tells apart the same answer in two pairs, as each was judged in its own."""
    identity = content_id(KNOWN, question.id, arm, beside, text)
    answer = Answer(identity, question.id, arm, "base", "closed_book", text)
    return Exchange(question, answer, passage)


def _verdict(first: Exchange, second: Exchange, by: str, winner: str | None) -> Comparison:
    return Comparison(
        content_id(KNOWN, by, first.answer.id, second.answer.id),
        first.question.id,
        first.answer.id,
        second.answer.id,
        by,
        KNOWN,
        winner,
        "",
        error="" if winner is not None else "unparseable_reply: by the benchmark's own parser",
    )
