"""Outside a study, too: the best scored of some duplicates stays, selections have controls, and
benchmark items are looked for.
"""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from row_files import all_files, dropped, kept, lines, write_lines, write_parquet
from teichaku.core.errors import UserError
from teichaku.core.executor import Executor, Processes, Serial
from teichaku.core.records import Example
from teichaku.core.run_folder import read_records
from teichaku.curation.amount import characters
from teichaku.curation.selection import random_control
from teichaku.recipes.curate import Curated, run_curation
from teichaku.recipes.curate_schema import Curation
from teichaku.recipes.progress import Silent


def curate(data: Path, out: Path, executor: Executor | None = None, **config: Any) -> Curated:
    wanted = Curation.model_validate(config)
    return run_curation([data], wanted, out, executor or Serial(), Silent())


#: Nearly the same, the longest first.
ALIKE = [
    "港の遊覧船あおば丸は一九八七年に檜で造られて、いまも毎日、湖を静かに一周しています。",
    "港の遊覧船あおば丸は一九八七年に檜で造られて、いまも毎日湖を静かに一周しています。",
    "港の遊覧船あおば丸は一九八七年に檜で造られて、いまも毎日湖を静かに一周している。",
]


@pytest.mark.parametrize(
    ("curation", "best"),
    [
        ([{"name": "near_duplicates", "threshold": 0.7}], 2),
        ([{"name": "near_duplicates", "threshold": 0.7, "keep": "score"}], 2),
        ([{"name": "semantic_duplicates", "threshold": 0.9}], 2),
    ],
)
@pytest.mark.parametrize("write", [write_lines, write_parquet])
def test_of_duplicates_the_best_by_the_column_stays(
    tmp_path: Path, curation: list[Any], best: int, write: Any
) -> None:
    quality = (0.25, 3, 7.5)
    rows = [
        {"text": text, "quality": score, "vec": [1.0, 0.001 * place]}
        for place, (text, score) in enumerate(zip(ALIKE, quality, strict=True))
    ]
    path = write(tmp_path / ("a.jsonl" if write is write_lines else "a.parquet"), rows)
    vectors: dict[str, Any] = (
        {"vectors": "vec"} if curation[0]["name"] == "semantic_duplicates" else {}
    )
    curate(path, tmp_path / "out", curation=curation, score="quality", **vectors)
    (stays,) = kept(tmp_path / "out")
    assert stays.answer == ALIKE[best]
    # The column is carried along as any other.
    assert lines(tmp_path / "out", "text")[0]["quality"] == quality[best]
    # Without it the longest stays, and keep says who else may.
    longest = [{**curation[0], "keep": "longest"}]
    curate(path, tmp_path / "longest", curation=longest, **vectors)
    assert [row.answer for row in kept(tmp_path / "longest")] == [ALIKE[0]]


def test_of_the_same_the_best_by_the_column_stays(tmp_path: Path) -> None:
    rows = [{"text": ALIKE[0], "quality": score, "n": n} for n, score in enumerate((1, 3, 2))]
    path = write_lines(tmp_path / "a.jsonl", rows)
    curate(path, tmp_path / "out", curation=["duplicates"], score="quality")
    assert [row["n"] for row in lines(tmp_path / "out", "text")] == [1]


def test_a_row_whose_score_is_no_number_falls_and_the_others_go_on(tmp_path: Path) -> None:
    scores = [1.5, None, "3", True, 2]
    rows = [{"text": f"{ALIKE[0]}{n}", "quality": score} for n, score in enumerate(scores)]
    path = write_lines(tmp_path / "a.jsonl", [*rows, {"text": ALIKE[1]}])
    curated = curate(path, tmp_path / "out", curation=["duplicates"], score="quality")
    assert (curated.given, curated.reasons) == (2, {"bad_row": 4})
    told = {record.evidence for record in dropped(tmp_path / "out")}
    assert told == {f"a.jsonl#{n}: 'quality' is no number" for n in (2, 3, 4, 6)}


def test_a_score_that_is_not_there_or_not_gone_by_is_told(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"text": ALIKE[0], "n": 1}])
    with pytest.raises(UserError, match=r"score: a\.jsonl has no column 'quality', but text, n"):
        curate(path, tmp_path / "out", curation=["duplicates"], score="quality")
    by_score = {"name": "near_duplicates", "keep": "score"}
    with pytest.raises(ValidationError, match="name their column, score: COLUMN"):
        Curation.model_validate({"curation": [by_score]})
    with pytest.raises(ValidationError, match="no step goes by the numbers in 'quality'"):
        Curation.model_validate({"curation": ["length"], "score": "quality"})


def write_texts(path: Path) -> Path:
    """Texts of many lengths with vectors, in two files."""
    random = np.random.default_rng(0)
    for number in range(2):
        rows = [
            {
                "text": f"{number}の{n}：{'波の音' * int(size)}。",
                "vec": random.normal(size=6).tolist(),
            }
            for n, size in enumerate(random.integers(1, 40, 60))
        ]
        write_lines(path / f"{number}.jsonl", rows)
    return path


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    with closing(Processes(2)) as made:
        yield made


WITH_CONTROLS: dict[str, Any] = {
    "curation": [],
    "select": {"method": "d4", "share": 0.4, "controls": True},
    "vectors": "vec",
    "shard_rows": 17,
}


def records(folder: Path) -> list[Example]:
    return [row for path in sorted(folder.iterdir()) for row in read_records(path, Example)]


def test_a_selection_brings_rows_by_chance_and_the_longest_of_its_size(tmp_path: Path) -> None:
    data, out = write_texts(tmp_path / "data"), tmp_path / "out"
    curate(data, out, **WITH_CONTROLS)
    chosen, size = kept(out), characters(kept(out))
    pool = [*chosen, *(Example(**_fields(r.record)) for r in dropped(out))]
    assert len(pool) == 120
    summary = json.loads((out / "stage.json").read_text("utf-8"))["controls"]
    assert summary["selected"] == {"rows": len(chosen), "characters": size}
    for place in ("random", "longest"):
        rows = records(out / place)
        assert {row.id for row in rows} <= {row.id for row in pool}
        assert size - min(map(_size, pool)) < characters(rows) <= size
        assert summary[place] == {"rows": len(rows), "characters": characters(rows)}
    # The same that a study draws from the same rows.
    drawn = {row.id for row in records(out / "random")}
    assert drawn == set(random_control(pool, size).kept)
    longest = records(out / "longest")
    left = [row for row in pool if row.id not in {one.id for one in longest}]
    assert len(longest) < len(chosen)
    assert sorted(map(_size, longest))[1] >= max(map(_size, left))


def _size(row: Example) -> int:
    return characters([row])


def _fields(record: str) -> dict[str, Any]:
    found = json.loads(record)
    return {name: found[name] for name in Example.__slots__}


def test_controls_are_the_same_in_any_process_and_in_shards_of_any_size(
    tmp_path: Path, processes: Processes
) -> None:
    data = write_texts(tmp_path / "data")
    curate(data, tmp_path / "serial", **WITH_CONTROLS)
    curate(data, tmp_path / "processes", processes, **WITH_CONTROLS)
    assert all_files(tmp_path / "serial") == all_files(tmp_path / "processes")
    curate(data, tmp_path / "whole", **{**WITH_CONTROLS, "shard_rows": 5000})
    other = {**WITH_CONTROLS, "seed": 1}
    curate(data, tmp_path / "other", **other)
    for place in ("random", "longest"):
        here, there = (
            {row.id for row in records(tmp_path / d / place)} for d in ("serial", "whole")
        )
        assert here == there
    drawn = [{row.id for row in records(tmp_path / d / "random")} for d in ("serial", "other")]
    assert drawn[0] != drawn[1]


def test_controls_that_are_no_longer_asked_for_go_and_finished_ones_stay(tmp_path: Path) -> None:
    data, out = write_texts(tmp_path / "data"), tmp_path / "out"
    curate(data, out, **WITH_CONTROLS)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    assert {path.parent.name for path in before} >= {"random", "longest"}
    curate(data, out, **WITH_CONTROLS)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")} == before
    one = {**WITH_CONTROLS, "select": {"method": "d4", "share": 0.4, "controls": ["random"]}}
    curate(data, out, **one)
    curate(data, tmp_path / "afresh", **one)
    assert all_files(out) == all_files(tmp_path / "afresh")
    assert not (out / "longest").exists()


ITEM = {"question": "日本で二番目に高い山を何といいますか。", "answer": "北岳"}


def write_with_leaks(folder: Path) -> Path:
    """Rows of which every tenth holds a benchmark item, and the benchmark beside them."""
    rows = [
        {"question": ITEM["question"], "answer": f"{ITEM['answer']}です。"}
        if n % 10 == 3
        else {"question": f"第{n}便の船は何時に港を出ますか。", "answer": f"{n % 24}時です。"}
        for n in range(60)
    ]
    write_lines(folder / "exam.jsonl", [ITEM])
    return write_lines(folder / "data" / "rows.jsonl", rows)


def test_rows_into_which_a_benchmark_item_leaks_fall(tmp_path: Path, processes: Processes) -> None:
    data = write_with_leaks(tmp_path)
    wanted = Curation.model_validate(
        {"curation": ["length"], "leaks": {"files": ["exam.jsonl"]}, "shard_rows": 7}
    )
    for name, executor in (("serial", Serial()), ("processes", processes)):
        curated = run_curation([data], wanted, tmp_path / name, executor, Silent(), tmp_path)
        assert curated.reasons == {"leaks_benchmark": 6}
        assert [step.name for step in curated.steps] == ["read", "rules", "leaks"]
    assert all_files(tmp_path / "serial") == all_files(tmp_path / "processes")
    told = [record.evidence for record in dropped(tmp_path / "serial")]
    assert all(one.startswith(f"exam.jsonl, line 1: {ITEM['question']}") for one in told)
    # Another benchmark is another result.
    write_lines(
        tmp_path / "exam.jsonl",
        [{"question": "世界で一番深い湖は何湖ですか。", "answer": "バイカル湖"}],
    )
    again = run_curation([data], wanted, tmp_path / "serial", Serial(), Silent(), tmp_path)
    assert (again.given, again.reasons) == (60, {})


def test_a_benchmark_that_is_not_there_is_told_before_anything_is_done(tmp_path: Path) -> None:
    data, out = write_with_leaks(tmp_path), tmp_path / "out"
    for leaks, told in (
        ({"files": ["none.jsonl"]}, "cannot be read"),
        ({}, "there is no benchmark to look for"),
    ):
        wanted = Curation.model_validate({"leaks": leaks})
        with pytest.raises(UserError, match=told):
            run_curation([data], wanted, out, Serial(), Silent(), tmp_path)
    assert not out.exists()
