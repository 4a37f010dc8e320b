"""Sheets for marking by hand: the items as CSV that spreadsheets open, and back as judgements.

Rows are shuffled and blinded: an id tells nothing, and two answers stand behind the letters A and
B in an order drawn for each item. Which answer is which is in the key, a file of its own that the
people who mark do not get. Their marks come back as those of a judge ``people:NAME``, so all that
is done with judges (agreement, calibration, verdicts) is done with people alike.
"""

import csv
import io
import json
import unicodedata
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from teichaku.core.errors import UserError
from teichaku.core.records import Comparison, Judgement, content_id
from teichaku.core.run_folder import fingerprint, json_bytes, write_aside
from teichaku.evaluation.judging.exchanges import Exchange, Pair
from teichaku.evaluation.judging.protocol import ALL, NONE, JudgeProtocol

Value = TypeVar("Value")
Winner = Literal["first", "second", "tie"]
Form = Literal["marks", "pairs"]

#: Changes whenever a sheet is read differently.
_PARSER = "sheet@1"
#: A spreadsheet cuts off what is longer.
_LONGEST_CELL = 32_767
#: A cell that begins with one of these may be run as a formula; the apostrophe is what guards it.
_FORMULA = "=+-@\t\r＝＋－＠"
_GUARD = "'"
_DELIMITERS = ",;\t"
#: Names of the columns by language; what stands behind a bracket is for people.
_HEADINGS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "id": "id", "question": "question", "reference": "reference", "passage": "passage",
        "criteria": "criteria", "answer": "answer", "answer_a": "answer A",
        "answer_b": "answer B", "mark": "mark", "better": "better", "comment": "comment",
    },
    "ja": {
        "id": "番号", "question": "質問", "reference": "参考解答", "passage": "文書",
        "criteria": "採点基準", "answer": "回答", "answer_a": "回答A",
        "answer_b": "回答B", "mark": "点数", "better": "よいほう", "comment": "コメント",
    },
}  # fmt: skip
_SAME = {"en": "same", "ja": "同じ"}
_WINNERS: Mapping[str, Winner] = {
    "a": "first", "b": "second", "same": "tie", "tie": "tie", "同じ": "tie", "引き分け": "tie",
}  # fmt: skip
_NAMES = {name: column for names in _HEADINGS.values() for column, name in names.items()}


@dataclass(frozen=True, slots=True)
class KeyItem:
    """What stands behind an id: the question, the answers in the order in which they are shown
    with their arms, and a hash of what the row shows.
    """

    question_id: str
    answers: tuple[str, ...]
    arms: tuple[str, ...]
    shown: str


@dataclass(frozen=True)
class Key:
    """What is needed to read a sheet again. ``columns`` are those of the sheet, in order;
    ``scale`` are the least and the greatest mark.
    """

    form: Form
    scale: tuple[int, int]
    columns: tuple[str, ...]
    items: Mapping[str, KeyItem]

    def as_json(self) -> dict[str, Any]:
        """The key as a JSON object; :func:`read_key` reads it."""
        return asdict(self)

    def protocol(self, name: str) -> JudgeProtocol:
        """The protocol of the person ``name``: who marks, and what they are shown."""
        shown = fingerprint({"scale": self.scale, "columns": self.columns})
        return JudgeProtocol(
            "absolute" if self.form == "marks" else "pairwise",
            f"people:{name}",
            ((f"sheet/{self.form}@1", shown),),
            _PARSER,
            reference=ALL if "reference" in self.columns else NONE,
        )


@dataclass(frozen=True)
class Sheet:
    """A table of text with its key."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    key: Key

    def csv_bytes(self) -> bytes:
        """The table as CSV in UTF-8 with the mark by which Excel knows it."""
        sink = io.StringIO(newline="")
        writer = csv.writer(sink, lineterminator="\r\n")
        writer.writerow(self.header)
        writer.writerows([guarded(cell) for cell in row] for row in self.rows)
        return sink.getvalue().encode("utf-8-sig")


@dataclass(frozen=True, slots=True)
class Layout:
    """How a sheet is laid out: whether people see the passage, the reference and the criteria of
    a benchmark, and in which language its headings are. ``seed`` draws the order of the rows and
    of two answers.
    """

    seed: int = 0
    passages: bool = False
    references: bool = True
    criteria: bool = False
    language: str = "en"

    @property
    def shown(self) -> tuple[str, ...]:
        """The columns before the answers."""
        beside = {
            "reference": self.references,
            "passage": self.passages,
            "criteria": self.criteria,
        }
        return ("id", "question", *(name for name, is_wanted in beside.items() if is_wanted))


def marks_sheet(
    exchanges: Iterable[Exchange], layout: Layout = Layout(), scale: tuple[int, int] = (1, 10)
) -> Sheet:
    """One row an answer, to be marked on ``scale``. Answers that failed are left out."""
    columns = (*layout.shown, "answer", "mark", "comment")
    rows = [((one,), _row(layout, one, [_answer(one)])) for one in exchanges if not one.failed]
    return _sheet("marks", columns, rows, layout, scale)


def pairs_sheet(pairs: Iterable[Pair], layout: Layout = Layout()) -> Sheet:
    """One row a pair, each in one order that is drawn, to be compared: A, B or the same."""
    columns = (*layout.shown, "answer_a", "answer_b", "better", "comment")
    rows = []
    for pair in pairs:
        drawn = content_id(
            layout.seed, "order", *sorted((pair.one.answer.id, pair.other.answer.id))
        )
        both = sorted((pair.one, pair.other), key=lambda exchange: exchange.answer.id)
        first, second = both[::-1] if int(drawn, 16) % 2 else both
        rows.append(((first, second), _row(layout, first, [_answer(first), _answer(second)])))
    return _sheet("pairs", columns, rows, layout, (0, 0))


def _row(layout: Layout, of: Exchange, answers: Sequence[str]) -> list[str]:
    question, reference = of.question.question, of.question.reference
    if of.before:
        question = _turns(of.before.question.question, question)
        reference = _turns(of.before.question.reference, reference)
    cells = [question]
    cells += [reference] if layout.references else []
    cells += [of.passage] if layout.passages else []
    cells += [of.criteria] if layout.criteria else []
    return [_writable(cell) for cell in (*cells, *answers)]


def _answer(exchange: Exchange) -> str:
    before = exchange.before
    return _turns(before.answer.text, exchange.text) if before else exchange.text


def _turns(first: str, second: str) -> str:
    return f"(1)\n{first}\n\n(2)\n{second}" if first or second else ""


def _sheet(
    form: Form,
    columns: tuple[str, ...],
    rows: Sequence[tuple[tuple[Exchange, ...], list[str]]],
    layout: Layout,
    scale: tuple[int, int],
) -> Sheet:
    items, lines = {}, {}
    for exchanges, cells in rows:
        answers = tuple(exchange.answer.id for exchange in exchanges)
        # A letter first: a spreadsheet takes 12345678e9 for a number.
        name = f"i{content_id(layout.seed, 'item', *answers)}"
        if name in items:
            raise ValueError(f"the same answers come twice: {', '.join(answers)}")
        arms = tuple(exchange.answer.arm for exchange in exchanges)
        items[name] = KeyItem(exchanges[0].question.id, answers, arms, _hash(cells))
        lines[name] = (name, *cells, "", "")
    order = sorted(items, key=lambda name: content_id(layout.seed, "row", name))
    names = _HEADINGS.get(layout.language, _HEADINGS["en"])
    same = _SAME.get(layout.language, _SAME["en"])
    hints = {"mark": f" ({scale[0]}-{scale[1]})", "better": f" (A / B / {same})"}
    header = tuple(names[column] + hints.get(column, "") for column in columns)
    return Sheet(header, tuple(lines[n] for n in order), Key(form, scale, columns, items))


def write_sheet(sheet: Sheet, path: Path) -> Path:
    """Write ``path`` (CSV) and beside it ``NAME.key.json``, whose path is returned. The key is not
    for the people who mark.
    """
    beside = path.with_name(f"{path.stem}.key.json")
    write_aside(path, sheet.csv_bytes())
    write_aside(beside, json_bytes(sheet.key.as_json()))
    return beside


def read_key(path: Path) -> Key:
    """The key that :func:`write_sheet` wrote. Raises ``UserError`` where it is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        items = {
            name: KeyItem(
                item["question_id"], tuple(item["answers"]), tuple(item["arms"]), item["shown"]
            )
            for name, item in value["items"].items()
        }
        low, high = (int(end) for end in value["scale"])
        form, columns = value["form"], tuple(value["columns"])
        answers = {"marks": 1, "pairs": 2}[form]
        if wrong := [name for name, item in items.items() if len(item.answers) != answers]:
            raise ValueError(f"{form} of {answers} answer(s), but {wrong[0]} has others")
        filled = {"marks": "mark", "pairs": "better"}[form]
        if not items or columns[-2:] != (filled, "comment"):
            raise ValueError(f"no items, or not the columns of {form}")
        return Key(form, (low, high), columns, items)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is no key of a sheet: {error!r}.",
            "It was written beside the sheet, as NAME.key.json.",
        ) from error


def read_marks(data: bytes, key: Key, name: str) -> list[Judgement]:
    """The marks of the person ``name`` in a sheet that came back, by id of the item; a row without
    a mark has the error ``not_marked``.

    Raises ``UserError`` with all mistakes and their rows: an unknown id, an item twice or missing,
    texts that changed, a mark off the scale.
    """
    protocol = key.protocol(name)

    def mark(text: str) -> float:
        value = float(text.removesuffix("点"))
        if not (value.is_integer() and key.scale[0] <= value <= key.scale[1]):
            raise ValueError
        return value

    wanted = f"a whole number from {key.scale[0]} to {key.scale[1]}"
    return [
        Judgement(
            content_id("judgement", protocol.fingerprint, *item.answers),
            item.answers[0],
            protocol.judge,
            protocol.label,
            value,
            comment,
            raw,
            _unmarked(value),
        )
        for item, value, raw, comment in _read(data, key, "marks", mark, wanted)
    ]


def read_winner(text: str) -> Winner:
    """Which of A and B is better, as people write it: A, B or same, in any width and case, 同じ
    too. Raises ``ValueError`` for anything else.
    """
    name = unicodedata.normalize("NFKC", text).strip().casefold()
    if name not in _WINNERS:
        raise ValueError(f"'{text}' is none of A, B and same")
    return _WINNERS[name]


def read_pairs(data: bytes, key: Key, name: str) -> list[Comparison]:
    """The verdicts of the person ``name``, as :func:`read_marks`. Each pair was shown in one
    order: count them with ``verdicts(..., orders=1)``.
    """
    protocol = key.protocol(name)

    rows = []
    for item, value, raw, comment in _read(data, key, "pairs", read_winner, "A, B or same (同じ)"):
        first, second = item.answers
        row_id = content_id("comparison", protocol.fingerprint, first, second)
        rows.append(
            Comparison(
                row_id, item.question_id, first, second, protocol.judge, protocol.label,
                value, comment, raw=raw, error=_unmarked(value),
            )
        )  # fmt: skip
    return rows


def _unmarked(value: object) -> str:
    return "not_marked: the cell is empty" if value is None else ""


def _read(
    data: bytes, key: Key, form: Form, read: Callable[[str], Value], wanted: str
) -> Iterator[tuple[KeyItem, Value | None, str, str]]:
    """Items with their values (null where the cell is empty), cells and comments, by id."""
    if key.form != form:
        raise UserError(f"The key is that of a sheet of {key.form}, not of {form}.")
    found: dict[str, tuple[KeyItem, Value | None, str, str]] = {}
    seen: set[str] = set()
    mistakes: list[str] = []
    for where, row in _table(data, key.columns):
        cells = dict(zip(key.columns, row, strict=True))
        name = cells["id"].strip()
        item = key.items.get(name)
        raw = cells["mark" if form == "marks" else "better"]
        text = unicodedata.normalize("NFKC", raw).strip()
        problem = _problem(name, item, row[1:-2], seen)
        seen.add(name)
        if item is None or problem:
            mistakes.append(f"{where}: {problem}")
            continue
        value = None
        if text:
            try:
                value = read(text)
            except ValueError:
                mistakes.append(f"{where}: '{raw.strip()}' is not {wanted}")
        found[name] = (item, value, raw, cells["comment"].strip())
    mistakes += [f"item {name} is missing" for name in sorted(key.items.keys() - seen)]
    if mistakes:
        raise UserError(
            f"The sheet has {len(mistakes)} mistake(s):\n" + "\n".join(f"  {m}" for m in mistakes),
            "Mend them in the sheet and save it as CSV (UTF-8). Change nothing but marks and "
            "comments.",
        )
    yield from (found[name] for name in sorted(found))


def _problem(name: str, item: KeyItem | None, shown: Sequence[str], seen: Container[str]) -> str:
    """What is wrong with a row, its mark aside; empty where nothing is."""
    if item is None:
        return f"no item has the id '{name}'"
    if name in seen:
        return f"a second row of item {name}"
    if _hash([unguarded(cell) for cell in shown]) != item.shown:
        return f"the texts are not those that were written, in item {name}"
    return ""


def _table(data: bytes, columns: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """The rows of a sheet below its header, with where they stand, in the order of ``columns``.

    Raises ``UserError`` for what is no such table.
    """
    text = _decoded(data)
    head = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number, begins = 0, 1
    order: list[int] = []
    try:
        for row in reader:
            number, where = number + 1, f"row {number + 1} (line {begins})"
            begins = reader.line_num + 1
            if number == 1:
                order = _order(row, columns)
            elif any(cell.strip() for cell in row):
                # Spreadsheets leave empty cells at the end out.
                padded = [*row, *[""] * (max(order) + 1 - len(row))]
                yield where, [padded[place] for place in order]
    except csv.Error as error:
        raise UserError(f"Row {number + 1} (line {begins}) is no CSV: {error}.") from error
    if not number:
        raise UserError("The sheet is empty.", "Save it as CSV (UTF-8).")


def _order(header: Sequence[str], columns: Sequence[str]) -> list[int]:
    names = [unicodedata.normalize("NFKC", cell).partition("(")[0].strip() for cell in header]
    places = {_NAMES[name]: place for place, name in enumerate(names) if name in _NAMES}
    missing = [column for column in columns if column not in places]
    if missing:
        raise UserError(
            f"The sheet lacks the column(s) {', '.join(missing)}; it has: {', '.join(header)}.",
            "Leave the first row as it was written.",
        )
    return [places[column] for column in columns]


def _decoded(data: bytes) -> str:
    """The text of a file as spreadsheets save it: UTF-8, UTF-16, or Japanese Windows."""
    names = ["utf-16"] if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ["utf-8-sig", "cp932"]
    for name in names:
        try:
            return data.decode(name)
        except UnicodeDecodeError:
            continue
    raise UserError("The sheet is in an unknown encoding.", "Save it as CSV (UTF-8).")


def guarded(cell: str) -> str:
    """``cell`` with an apostrophe before what a spreadsheet might run as a formula (and before an
    apostrophe, so that :func:`unguarded` gives each text back).
    """
    return f"{_GUARD}{cell}" if cell.startswith((*_FORMULA, _GUARD)) else cell


def unguarded(cell: str) -> str:
    """The text that :func:`guarded` wrote."""
    return cell.removeprefix(_GUARD)


def _writable(cell: str) -> str:
    """``cell`` as a file can hold it. Raises ``UserError`` where a spreadsheet would cut it."""
    if len(cell) >= _LONGEST_CELL:
        raise UserError(
            f"A text of {len(cell)} characters is too long for a cell: {cell[:40]}...",
            "Leave the passages out of the sheet.",
        )
    return cell.encode("utf-8", "replace").decode("utf-8")


def _hash(cells: Sequence[str]) -> str:
    """A hash of texts, whatever way their lines end."""
    return content_id(*(cell.replace("\r\n", "\n").replace("\r", "\n") for cell in cells))
