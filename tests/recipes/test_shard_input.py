import json
from pathlib import Path

import pytest

from row_files import boats, chat, write_lines, write_parquet
from teichaku.core.errors import UserError
from teichaku.core.executor import TaskError
from teichaku.recipes import shard_input
from teichaku.recipes.shard_input import Plan, plan_input

NOWHERE = Path("/nowhere")


def plan(*inputs: Path) -> Plan:
    return plan_input(inputs, NOWHERE)


def test_a_large_file_is_cut_at_the_ends_of_lines_and_no_line_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_input, "_PIECE_BYTES", 300)
    path = write_lines(tmp_path / "舟.jsonl", boats(20))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b"\n" + b'{"last": "line"}')
    found = plan(path)
    assert len(found.pieces) > 5
    read = [numbered for piece in found.pieces for numbered in piece.lines()]
    assert [number for number, _ in read] == [*range(1, 21), 22]
    assert [json.loads(line) for _, line in read] == [*boats(20), {"last": "line"}]
    assert sum(piece.rows for piece in found.pieces) == 22


def test_each_group_of_rows_in_parquet_is_a_piece(tmp_path: Path) -> None:
    found = plan(write_parquet(tmp_path / "舟.parquet", boats(120), group=50))
    assert [(piece.first, piece.rows) for piece in found.pieces] == [(1, 50), (51, 50), (101, 20)]
    rows = [row for p in found.pieces for batch in p.table_batches() for row in batch.to_pylist()]
    assert rows == boats(120)
    assert len({piece.content_hash() for piece in found.pieces}) == 3


def test_a_file_in_another_encoding_is_read(tmp_path: Path) -> None:
    rows = boats(30)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (tmp_path / "舟.jsonl").write_bytes(text.encode("cp932"))
    (piece,) = plan(tmp_path).pieces
    assert [json.loads(line) for _, line in piece.lines()] == rows


def test_files_are_told_by_their_folder_and_others_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    write_lines(folder / "a" / "x.jsonl", boats(1))
    write_lines(folder / "b" / "x.jsonl", boats(1))
    write_lines(folder / "out" / "chat" / "x.jsonl", boats(1))
    (folder / "notes.txt").write_text("メモ")
    found = plan_input([folder], folder / "out")
    assert [piece.name for piece in found.pieces] == ["data/a/x.jsonl", "data/b/x.jsonl"]
    assert found.others == ["data/notes.txt"]


@pytest.mark.parametrize("damage", ["cut short", "no parquet", "no json", "binary"])
def test_a_file_that_cannot_be_read_is_named_and_leaves_the_others(
    tmp_path: Path, damage: str
) -> None:
    write_lines(tmp_path / "a.jsonl", boats(3))
    bad = tmp_path / ("b.jsonl" if damage in ("no json", "binary") else "b.parquet")
    write_parquet(bad, boats(30))
    contents = {
        "cut short": bad.read_bytes()[:-20],
        "no parquet": b"PAR1",
        "no json": "題名\n本文\n".encode(),
        "binary": bytes(range(256)) * 9,
    }
    bad.write_bytes(contents[damage])
    found = plan(tmp_path)
    ((name, reason),) = found.faults
    assert name.endswith(bad.name)
    assert f"{bad.name} cannot be read: " in reason
    assert len(found.pieces) == 1


def test_a_damaged_group_of_rows_is_no_fault_of_the_others(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "舟.parquet", boats(200), group=50)
    data = bytearray(path.read_bytes())
    data[40:200] = bytes(160)
    path.write_bytes(bytes(data))
    pieces = plan(path).pieces
    with pytest.raises(TaskError, match=r"舟.parquet, from row 1 cannot be read"):
        list(pieces[0].table_batches())
    assert sum(batch.num_rows for piece in pieces[1:] for batch in piece.table_batches()) == 150


def test_a_file_that_was_taken_away_is_named(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "舟.jsonl", boats(3))
    (piece,) = plan(path).pieces
    path.unlink()
    with pytest.raises(TaskError, match=r"舟.jsonl cannot be read: No such file"):
        piece.content_hash()


def test_nothing_to_read_is_a_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no file or folder"):
        plan(tmp_path / "nothing")
    with pytest.raises(UserError, match="There is no Parquet or JSON lines file"):
        plan(tmp_path)
    (tmp_path / "a.csv").write_text("question,answer\n")
    with pytest.raises(UserError, match=r"there are 1 others, such as .*a\.csv"):
        plan(tmp_path)
    (tmp_path / "a.jsonl").write_text("\n")
    with pytest.raises(UserError, match="There is no row"):
        plan(tmp_path)


def test_columns_of_several_forms_are_a_users_mistake(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", boats(1))
    write_lines(tmp_path / "b.jsonl", [{"instruction": "訳せ", "input": "舟", "output": "boat"}])
    with pytest.raises(UserError) as caught:
        plan(tmp_path)
    told = str(caught.value)
    assert "chat (messages): 1 files, such as" in told
    assert "pairs (instruction, input, output): 1 files, such as" in told
    assert "Curate each form apart" in told


def test_rows_with_and_without_an_input_are_of_one_form(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [{"instruction": "訳せ", "output": "boat"}])
    mixed = [
        {"instruction": "問え", "output": "?"},
        {"instruction": "訳せ", "input": "舟", "output": "boat"},
    ]
    write_lines(tmp_path / "b.jsonl", mixed)
    form = plan(tmp_path).form
    assert form is not None
    assert form.keys == ("instruction", "input", "output")


def test_columns_of_no_known_form_are_told(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [{"名称": "舟", "定員": 48}])
    with pytest.raises(UserError, match=r"a.jsonl are of no form that is known: 名称, 定員"):
        plan(tmp_path)


def test_two_folders_of_one_name_are_told_apart_or_refused(tmp_path: Path) -> None:
    for place in ("x", "y"):
        write_lines(tmp_path / place / "data" / "a.jsonl", [chat("定員は？", "48人")])
    with pytest.raises(UserError, match=r"Two files have the name data/a\.jsonl"):
        plan(tmp_path / "x" / "data", tmp_path / "y" / "data")
    assert len(plan(tmp_path / "x", tmp_path / "y").pieces) == 2
    assert len(plan(tmp_path / "x", tmp_path / "x").pieces) == 1
