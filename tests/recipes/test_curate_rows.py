"""Rows as people have them, through a whole curation: personal data, vectors, order, odd values."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from row_files import chat, dropped, kept, lines, write_lines, write_parquet
from teichaku.core.errors import UserError
from teichaku.core.executor import Serial
from teichaku.core.run_folder import read_records
from teichaku.curation.personal_data.masking import PersonalDatum
from teichaku.recipes.curate import Curated, run_curation
from teichaku.recipes.curate_schema import Curation
from teichaku.recipes.progress import Silent
from teichaku.recipes.schema import Recipe

SECRET = "taro.yamada@kaisha.jp"


def curate(data: Path, out: Path, **config: Any) -> Curated:
    return run_curation([data], Curation.model_validate(config), out, Serial(), Silent())


def with_system(system: str, question: str, answer: str) -> dict[str, Any]:
    row = chat(question, answer)
    return {"messages": [{"role": "system", "content": system}, *row["messages"]]}


def with_secret(system: str) -> dict[str, Any]:
    question = f"連絡先の {SECRET} に予約を送ってよいですか。"
    return with_system(system, question, f"はい、{SECRET} で受け付けています。")


PERSONAL = [
    with_secret("船会社の案内をする。"),
    with_secret("短く答える。"),
    chat("定員は？", "48人"),
]
DROP = {"name": "personal_data", "action": "drop"}
SHORT = {"name": "length", "question": [1, 9]}


@pytest.mark.parametrize(
    ("curation", "reasons"),
    [
        (["personal_data"], {}),
        ([DROP], {"personal_data": 2}),
        (["personal_data", SHORT], {"too_long": 2}),
        (["personal_data", "duplicates"], {"duplicate": 1}),
        (["personal_data", {"name": "near_duplicates"}], {"duplicate": 1}),
    ],
)
def test_what_is_masked_is_masked_wherever_the_result_tells_of_it(
    tmp_path: Path, curation: list[Any], reasons: Mapping[str, int]
) -> None:
    write_lines(tmp_path / "a.jsonl", PERSONAL)
    curated = curate(tmp_path / "a.jsonl", tmp_path / "out", curation=curation)
    assert (curated.taken, curated.reasons) == (3, reasons)
    masked = [row for row in kept(tmp_path / "out") if "予約" in row.question]
    assert len(masked) == 2 - sum(reasons.values())
    said = [turn["content"] for row in lines(tmp_path / "out", "chat") for turn in row["messages"]]
    assert {text for row in masked for text in (row.question, row.answer)} <= set(said)
    told = [*said, *map(repr, kept(tmp_path / "out")), *map(repr, dropped(tmp_path / "out"))]
    assert not any("kaisha" in text for text in told)


@pytest.mark.parametrize("action", ["mask", "drop", "report"])
@pytest.mark.parametrize("shard_rows", [1, 100])
def test_what_personal_data_was_found_is_reported(
    tmp_path: Path, action: str, shard_rows: int
) -> None:
    write_lines(tmp_path / "a.jsonl", PERSONAL)
    curation = [{"name": "personal_data", "action": action}]
    out = tmp_path / "out"
    curated = curate(tmp_path / "a.jsonl", out, curation=curation, shard_rows=shard_rows)
    assert curated.given == (1 if action == "drop" else 3)
    files = list((out / "steps" / "01-rules").glob("*.personal_data.parquet"))
    assert len(files) == (2 if shard_rows == 1 else 1)
    found = [record for path in files for record in read_records(path, PersonalDatum)]
    with_data = {row.id for row in kept(out) if "予約" in row.question}
    with_data |= {record.record_id for record in dropped(out)}
    assert {(one.example_id, one.field, one.kind, one.action) for one in found} == {
        (name, field, "email", action) for name in with_data for field in ("question", "answer")
    }
    assert len(found) == 4
    assert SECRET not in repr(found)


def boat(number: int) -> str:
    return f"港の遊覧船{chr(0x4E00 + 97 * number)}{chr(0x6E00 + 89 * number)}は春に塗り直される。"


def directions(count: int) -> list[dict[str, Any]]:
    """Texts with vectors, no two of which point the same way."""
    return [{"text": boat(n), "vec": [1.0, float(n), float(n * n)]} for n in range(count)]


BY_VECTORS: dict[str, Any] = {
    "curation": [{"name": "semantic_duplicates", "threshold": 0.9999999}],
    "vectors": "vec",
}


@pytest.mark.parametrize("shard_rows", [3, 100])
def test_a_row_whose_vector_is_of_another_length_falls_alone_with_its_text(
    tmp_path: Path, shard_rows: int
) -> None:
    rows = directions(12)
    rows[0]["vec"] = [1.0, 2.0]
    write_lines(tmp_path / "data" / "a.jsonl", rows)
    odd = [{"text": boat(n), "vec": [1.0, 2.0, 3.0, 4.0]} for n in range(20, 23)]
    write_parquet(tmp_path / "data" / "b.parquet", odd)
    curated = curate(tmp_path / "data", tmp_path / "out", **BY_VECTORS, shard_rows=shard_rows)
    assert (curated.given, curated.reasons) == (11, {"bad_row": 4})
    why = {record.evidence: record.raw for record in dropped(tmp_path / "out")}
    assert json.loads(why["data/a.jsonl#1: 'vec' has 2 coordinates, the others have 3"]) == rows[0]
    assert {json.loads(raw)["text"] for raw in why.values()} == {
        row["text"] for row in [rows[0], *odd]
    }


@pytest.mark.parametrize("select", [None, {"method": "d4", "share": 1.0}])
def test_a_shard_without_a_vector_stops_nothing(
    tmp_path: Path, select: Mapping[str, Any] | None
) -> None:
    rows = directions(12)
    for row in rows[4:8]:
        row["vec"] = None
    rows[0]["vec"] = [10**400, 1, 1]
    write_lines(tmp_path / "data" / "a.jsonl", rows)
    (tmp_path / "data" / "b.jsonl").write_text("\n\n")
    write_parquet(tmp_path / "data" / "c.parquet", directions(30)[20:])
    empty = pa.table({"text": pa.array([], pa.string()), "vec": pa.array([], pa.list_(pa.int8()))})
    pq.write_table(empty, tmp_path / "data" / "d.parquet")
    config = {**BY_VECTORS, "select": select, "shard_rows": 4}
    curated = curate(tmp_path / "data", tmp_path / "out", **config)
    assert (curated.taken, curated.given, curated.reasons) == (22, 17, {"bad_row": 5})


def test_a_column_of_vectors_that_is_not_there_is_a_users_mistake(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", directions(3))
    with pytest.raises(UserError, match="has no column 'vek', but text, vec"):
        curate(tmp_path / "a.jsonl", tmp_path / "out", **{**BY_VECTORS, "vectors": "vek"})


def test_vectors_that_no_step_goes_by_are_refused() -> None:
    with pytest.raises(ValidationError, match="no step goes by the vectors in 'vec'"):
        Curation.model_validate({"curation": ["duplicates"], "vectors": "vec"})


@pytest.mark.parametrize("kind", [Curation, Recipe])
@pytest.mark.parametrize("seed", [2**63, -(2**63) - 1])
def test_a_seed_is_a_number_of_64_bits(kind: type[Curation | Recipe], seed: int) -> None:
    with pytest.raises(ValidationError, match=r"seed\n +Input should be (less|greater) than"):
        kind.model_validate({"seed": seed})


def asked(boats: Sequence[str], answer: str) -> list[dict[str, Any]]:
    return [{"question": f"{boat}の定員は何人ですか。", "answer": answer} for boat in boats]


@pytest.mark.parametrize("names", [("a", "b"), ("一", "二"), ("x/a", "x/b")])
@pytest.mark.parametrize(
    "step", ["duplicates", {"name": "near_duplicates", "levels": ["question"], "keep": "first"}]
)
def test_of_rows_that_are_as_good_the_first_of_the_first_file_stays(
    tmp_path: Path, names: tuple[str, str], step: Any
) -> None:
    boats = [chr(0x4E00 + 131 * n) * 2 for n in range(12)]
    first = [*asked(boats, "五十人"), *asked(boats[:6], "48人")]
    write_lines(tmp_path / "data" / f"{names[0]}.jsonl", first)
    write_lines(tmp_path / "data" / f"{names[1]}.jsonl", asked(boats, "六十名"))
    config = {"curation": [step], "shard_rows": 5}
    curated = curate(tmp_path / "data", tmp_path / "out", **config)
    assert (curated.taken, curated.given) == (30, 12)
    stay = {(row["question"], row["answer"]) for row in lines(tmp_path / "out", "pairs")}
    assert stay == {(row["question"], row["answer"]) for row in first[:12]}


@pytest.mark.parametrize("step", ["duplicates", "near_duplicates"])
def test_of_the_same_rows_the_longest_stays_wherever_it_stands(tmp_path: Path, step: str) -> None:
    boats = [chr(0x4E00 + 131 * n) * 2 for n in range(12)]
    rows = [*asked(boats, "四十八人"), *asked(boats, "「四十八人」"), *asked(boats, "四十八人。")]
    write_lines(tmp_path / "a.jsonl", rows)
    curated = curate(tmp_path / "a.jsonl", tmp_path / "out", curation=[step], shard_rows=5)
    assert (curated.given, curated.reasons) == (12, {"duplicate": 24})
    assert {row.answer for row in kept(tmp_path / "out")} == {"「四十八人」"}


def test_values_that_json_has_no_form_for_leave_lines_that_every_reader_takes(
    tmp_path: Path,
) -> None:
    days = pa.array([1_700_000_000_000_000_001, 0], pa.timestamp("ns"))
    table = pa.table(
        {
            "text": [boat(0), boat(1)],
            "score": [float("nan"), float("-inf")],
            "image": [b"\x89PNG", b""],
            "at": days,
            "seen": pa.StructArray.from_arrays([days], ["first"]),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    curate(tmp_path / "a.parquet", tmp_path / "out", curation=["duplicates"])
    (path,) = (tmp_path / "out" / "text").iterdir()

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    first, second = (json.loads(line, parse_constant=refuse) for line in path.open("rb"))
    moment = "2023-11-14 22:13:20.000000001"
    assert first == {
        **{"text": boat(0), "score": None, "image": "iVBORw=="},
        **{"at": moment, "seen": {"first": moment}},
    }
    assert second["score"] is None


def test_a_value_that_cannot_be_read_is_the_end_of_its_row_alone(tmp_path: Path) -> None:
    stored = pa.array(["舟".encode(), b"\xff\xfeab", "船".encode()], pa.binary())
    broken = pa.Array.from_buffers(pa.string(), 3, stored.buffers())
    days = pa.array([0, 0, 10**7], pa.date32())
    table = pa.table({"text": ["港の舟", "駅の舟", "山の舟"], "of": broken, "on": days})
    pq.write_table(table, tmp_path / "a.parquet")
    curated = curate(tmp_path / "a.parquet", tmp_path / "out", curation=["duplicates"])
    assert (curated.taken, curated.given) == (3, 1)
    told = {record.evidence: record.raw for record in dropped(tmp_path / "out")}
    assert any("a.parquet#2: 'of' cannot be read: 'utf-8'" in why for why in told)
    assert any("a.parquet#3: 'on' cannot be read: date value" in why for why in told)
    assert any("駅の舟" in raw and "\ufffdab" in raw for raw in told.values())


def test_our_own_examples_in_json_lines_are_read_by_the_type_of_each_field(tmp_path: Path) -> None:
    own = {
        **{"id": 5, "document_id": "d", "passage_id": "p", "method": "document_qa"},
        **{"question": "定員は？", "answer": "48人", "price": 0.5, "sample_index": 2.0},
        **{"fact_ids": ["f1"], "completion_tokens": float("nan")},
    }
    write_lines(tmp_path / "a.jsonl", [own, {**own, "id": "b", "fact_ids": "f1"}])
    curated = curate(tmp_path / "a.jsonl", tmp_path / "out", curation=["question_is_answer"])
    (row,), (bad,) = kept(tmp_path / "out"), dropped(tmp_path / "out")
    assert (row.id, row.price, row.sample_index, row.fact_ids) == ("5", 0.5, 2, ("f1",))
    assert bad.evidence == "a.jsonl#2: 'fact_ids' is no list of texts"
    assert curated.reasons == {"bad_row": 1}


def test_files_whose_names_are_no_utf8_are_curated(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    write_lines(folder / "舟.jsonl", [{"text": boat(0)}])
    write_parquet(folder / "船.parquet", [{"text": boat(1)}])
    for path in list(folder.iterdir()):
        old_name = os.fsdecode(path.name.encode("cp932"))
        path.rename(folder / old_name)
    curated = curate(folder, tmp_path / "out", curation=["duplicates"])
    assert (curated.given, dict(curated.not_done)) == (2, {})
    summary = json.loads((tmp_path / "out" / "stage.json").read_text("utf-8"))
    assert list(summary["files"]) == ["data/舟.jsonl", "data/船.parquet"]
