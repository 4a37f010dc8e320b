"""The rows of a piece of the input: of each its example, or why there is none in it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from teichaku.core.records import Dropped, content_id
from teichaku.recipes.row_forms import GIVEN, Form, RowError, as_json, number_in
from teichaku.recipes.row_vectors import unfit, vector_column, vector_of
from teichaku.recipes.shard_files import Row
from teichaku.recipes.shard_input import Piece, parse_line


@dataclass(frozen=True)
class GivenRow:
    """A row as its file has it. ``line`` is its text, empty in Parquet; ``fault`` says why it
    cannot be read.
    """

    number: int
    values: Mapping[str, Any]
    line: str = ""
    fault: str = ""
    vector: np.ndarray | None = None


def piece_rows(
    piece: Piece, form: Form, language: str, vectors: str = "", score: str = ""
) -> Iterator[tuple[Row, np.ndarray | None] | Dropped]:
    """The rows of ``piece`` in ``form``, with their vectors and scores where these have a column.
    Those without an example, a vector that is fit, or a number for a score are dropped as
    ``bad_row``, as they came.

    Raises ``TaskError`` where the piece cannot be read.
    """
    for given in given_rows(piece, vectors):
        why = given.fault
        if vectors and not why:
            why = unfit(given.vector, piece.dimensions)
            why = f"'{vectors}' {why}" if why else ""
        if not why:
            try:
                yield _row(piece, form, language, given, score), given.vector
                continue
            except RowError as error:
                why = str(error)
        place = f"{piece.name}#{given.number}"
        raw = given.line or as_json(given.values)
        record_id = content_id(piece.name, given.number)
        yield Dropped(record_id, "Row", "curation", "bad_row", f"{place}: {why}", "", raw)


def given_rows(piece: Piece, vectors: str = "") -> Iterator[GivenRow]:
    """The rows of ``piece`` as its file has them; the column ``vectors`` apart.

    Raises ``TaskError`` where the piece cannot be read.
    """
    return _of_parquet(piece, vectors) if piece.is_parquet else _of_lines(piece, vectors)


def _row(piece: Piece, form: Form, language: str, given: GivenRow, score: str) -> Row:
    found = form.read(given.values)
    values: dict[str, Any] = {
        "id": content_id(piece.name, given.number),
        **{"document_id": "", "passage_id": "", "method": GIVEN, "language": language},
        **found.own,
    }
    return Row(
        **values,
        question=found.question,
        input=found.input,
        answer=found.answer,
        source=f"{piece.name}#{given.number}",
        rest=found.rest,
        score=number_in(given.values, score) if score else None,
    )


def _of_parquet(piece: Piece, vectors: str) -> Iterator[GivenRow]:
    number = piece.first
    for batch in piece.table_batches():
        names = [name for name in batch.schema.names if name != vectors]
        found: list[np.ndarray | None] = [None] * batch.num_rows
        if len(names) < batch.num_columns:
            found = vector_column(batch.column(vectors))
        for (values, fault), vector in zip(_values(batch.select(names)), found, strict=True):
            yield GivenRow(number, values, fault=fault, vector=vector)
            number += 1


def _values(batch: pa.RecordBatch) -> Iterator[tuple[dict[str, Any], str]]:
    """The values of each row, and why not all of them can be read."""
    try:
        rows = batch.to_pylist()
    except (ValueError, OverflowError):  # Of one value; the others are not to fall for it.
        yield from (_values_of_one(batch.slice(place, 1)) for place in range(batch.num_rows))
    else:
        yield from ((row, "") for row in rows)


def _values_of_one(row: pa.RecordBatch) -> tuple[dict[str, Any], str]:
    values: dict[str, Any] = {}
    fault = ""
    for name, column in zip(row.schema.names, row.columns, strict=True):
        try:
            (values[name],) = column.to_pylist()
        except (ValueError, OverflowError) as error:
            fault = f"'{name}' cannot be read: {error}"
            if isinstance(error, UnicodeDecodeError):
                values[name] = error.object.decode("utf-8", "replace")
    return values, fault


def _of_lines(piece: Piece, vectors: str) -> Iterator[GivenRow]:
    for number, line in piece.lines():
        try:
            values = parse_line(line)
        except ValueError as error:
            yield GivenRow(number, {}, line, f"it is no JSON: {error}")
            continue
        if not isinstance(values, dict):
            yield GivenRow(number, {}, line, "it is no object with names and values")
            continue
        vector = vector_of(values.pop(vectors, None)) if vectors else None
        yield GivenRow(number, values, line, vector=vector)
