"""Rows of the small tables that a recipe names: nothing in them is lost or changed."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teichaku.core.errors import UserError
from teichaku.recipes.rows import Row, _AsSpelled, read_rows, texts_of

SPELLED = [
    "12:30",
    "0123",
    "1.10",
    "2024-01-05",
    "1_000",
    "0x1F",
    "1e3",
    "48",
    "=",
    ".inf",
    "1,800円",
]


def rows_of(folder: Path, name: str, text: str) -> list[Row]:
    path = folder / name
    path.write_text(text, "utf-8")
    return list(read_rows(path))


@pytest.mark.parametrize("spelled", SPELLED)
def test_a_plain_scalar_of_yaml_keeps_its_spelling(tmp_path: Path, spelled: str) -> None:
    text = f"- instruction: いつですか。\n  output: {spelled}\n"
    (row,) = rows_of(tmp_path, "a.yaml", text)
    assert row.values["output"] == spelled
    (named,) = rows_of(tmp_path, "b.yaml", f"- {spelled}: 答え\n")
    assert list(named.values.values()) == ["答え"]


def test_yaml_still_knows_null_truth_and_merged_rows(tmp_path: Path) -> None:
    text = "- &a {input: , is_classification: true, output: ~}\n- {<<: *a, output: x}\n"
    first, second = rows_of(tmp_path, "a.yaml", text)
    assert first.values == {"input": None, "is_classification": True, "output": None}
    assert second.values == {**first.values, "output": "x"}


@given(st.from_regex(r"[0-9][0-9.:_eE+-]{0,12}", fullmatch=True))
def test_nothing_that_begins_with_a_digit_is_read_as_another_text(text: str) -> None:
    import yaml

    if not text.endswith(":"):  # that begins a mapping
        assert yaml.load(f"a: {text}", _AsSpelled) == {"a": text}


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_a_cell_beyond_the_heading_is_refused_with_its_line(tmp_path: Path, delimiter: str) -> None:
    lines = [
        "文書,質問,答え",
        "つばめ丸.md,料金は,2,800円",
        'つばめ丸.md,定員は,"4,8人"',
        ",,",
        "a,b,c,,",
    ]
    text = "\n".join(line.replace(",", delimiter) for line in lines)
    bad, good, padded = rows_of(tmp_path, "a.csv", text)
    assert (bad.place, good.place, padded.place) == ("line 2", "line 3", "line 5")
    rest = f'"2{delimiter}800円"'
    assert bad.fault == f"it has 4 cells under 3 headings; put the cell into quotes: {rest}"
    assert (good.fault, good.values["答え"]) == ("", f"4{delimiter}8人")
    assert (padded.fault, padded.values) == ("", {"文書": "a", "質問": "b", "答え": "c"})


def test_an_empty_heading_at_the_end_takes_no_text(tmp_path: Path) -> None:
    (bad,) = rows_of(tmp_path, "a.csv", "文書,質問,答え,\nつばめ丸.md,料金は,2,800円\n")
    assert "put the cell into quotes" in bad.fault
    (numbered,) = rows_of(tmp_path, "b.csv", ",質問,答え\n0,料金は,800円\n")
    assert numbered.values == {"": "0", "質問": "料金は", "答え": "800円"}


@pytest.mark.parametrize("heading", ["質問,答え,質問", "Answer,question,ＡＮＳＷＥＲ"])
def test_a_heading_that_stands_twice_is_refused(tmp_path: Path, heading: str) -> None:
    with pytest.raises(UserError, match=r"a\.csv: line 1: the heading '.+' stands twice"):
        rows_of(tmp_path, "a.csv", f"{heading}\na,b,c\n")


ROW = '"指示": "a", "出力": "b"'


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.yaml", "seeds:\n- 指示: a\nseeds:\n- 指示: b\n- 指示: c\n", "line 3: seeds: stands twice"),
        ("a.yaml", "seeds:\n- 指示: a\nseeds:\n- 指示: b\n", r"line 3: .*first in line 1\)"),
        ("a.yaml", "- 指示: a\n  出力: b\n  指示: c\n", "line 3: 指示: stands twice"),
        ("a.jsonl", f'{{{ROW}}}\n{{{ROW}, "指示": "c"}}', "line 2.*'指示' stands twice.*\"a\" and \"c\""),
        ("a.json", f'[{{{ROW}, "指示": "c"}}]', "'指示' stands twice"),
        ("a.json", f'{{"seeds": [{{{ROW}}}], "seeds": [{{{ROW}}}]}}', "'seeds' stands twice"),
    ],
)  # fmt: skip
def test_a_key_that_stands_twice_is_refused_because_one_value_would_be_lost(
    tmp_path: Path, name: str, text: str, told: str
) -> None:
    with pytest.raises(UserError, match=told):
        rows_of(tmp_path, name, text)


def test_a_key_in_two_spellings_is_told_of_its_row(tmp_path: Path) -> None:
    bad, good = rows_of(tmp_path, "a.jsonl", '{"ANSWER": "a", "answer": "b"}\n{"answer": "c"}')
    assert (bad.fault, bad.values) == ("'answer' is there twice, spelled in two ways", {})
    assert good.values == {"answer": "c"}


def test_an_alias_of_yaml_repeats_no_key(tmp_path: Path) -> None:
    first, second = rows_of(tmp_path, "a.yaml", "- &a {指示: a, 出力: b}\n- *a\n")
    assert first.values == second.values == {"指示": "a", "出力": "b"}


def test_a_row_that_is_no_object_does_not_hide_the_others(tmp_path: Path) -> None:
    bad, good = rows_of(tmp_path, "a.jsonl", '[1]\n{"答え": 12.50}\n')
    assert bad.fault == "it is no object with names and values"
    assert good.values == {"答え": "12.50"}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (True, "'answer' is True: write the text in quotes"),
        (["a"], "'answer' is no text"),
        ({"a": "b"}, "'answer' is no text"),
        (None, "it has no answer (it has: 答え)"),
        ("  ", "it has no answer (it has: 答え)"),
    ],
)
def test_what_is_no_text_is_told_as_such(value: object, told: str) -> None:
    assert texts_of(Row("line 1", {"答え": value}), {"answer": ("答え",)}, ["answer"]) == told
