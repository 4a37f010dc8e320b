"""Seed files of every format, and the seeds that ship."""

import json
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from languages import natural_text
from teichaku.core.errors import UserError
from teichaku.core.text import is_language
from teichaku.recipes.load import BUILTIN
from teichaku.recipes.seed_methods import read_domains, read_words
from teichaku.recipes.seeds import read_seeds
from teichaku.synthesis.instruction_text import similarity
from teichaku.synthesis.self_instruct import instance_fault

ROWS = [
    {
        "instruction": "次の文を敬語に直してください。",
        "input": "明日行く。",
        "output": "明日伺います。",
    },
    {"instruction": "3の2乗はいくつですか。", "input": "", "output": "9"},
]


def written(folder: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_text(text, encoding)
    return path


def mistakes(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_seeds(path, "ja")
    return str(caught.value)


def test_every_format_gives_the_same_seeds(tmp_path: Path) -> None:
    table = "指示,入力,出力\n次の文を敬語に直してください。,明日行く。,明日伺います。\n3の2乗はいくつですか。,,9\n"
    files = [
        written(
            tmp_path, "a.jsonl", "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)
        ),
        written(tmp_path, "b.json", json.dumps(ROWS)),
        written(tmp_path, "c.json", json.dumps({"version": 1, "seeds": ROWS})),
        written(tmp_path, "d.csv", table, "cp932"),
        written(tmp_path, "e.tsv", table.replace(",", "\t"), "utf-8-sig"),
        written(
            tmp_path,
            "f.yaml",
            "- {prompt: 次の文を敬語に直してください。, context: 明日行く。, response: 明日伺います。}\n"
            "- question: 3の2乗はいくつですか。\n  answer: 9\n",
        ),
    ]
    for path in files:
        seeds = read_seeds(path, "ja", "CC0-1.0")
        assert [(s.question, s.input, s.answer) for s in seeds] == [
            (row["instruction"], row["input"], row["output"]) for row in ROWS
        ], path.name
        assert seeds == read_seeds(files[0], "ja", "CC0-1.0")
    assert {s.method for s in seeds} == {"seed"}
    assert {s.licence_class for s in seeds} == {"CC0-1.0"}
    assert {(s.document_id, s.passage_id, s.language) for s in seeds} == {("", "", "ja")}


def test_what_a_row_says_of_itself_is_kept(tmp_path: Path) -> None:
    row = {
        **ROWS[0],
        "id": 7,
        "viewpoint": "流暢さ",
        "licence": "CC BY 4.0",
        "is_classification": "はい",
    }
    (seed,) = read_seeds(written(tmp_path, "a.jsonl", json.dumps(row)), "ja", "CC0-1.0")
    assert (seed.id, seed.category, seed.licence_class) == ("7", "流暢さ", "CC BY 4.0")
    assert seed.style == "classification"
    row = {**row, "category": "書き換え", "is_classification": False}
    (seed,) = read_seeds(written(tmp_path, "a.jsonl", json.dumps(row)), "ja")
    assert (seed.category, seed.style) == ("書き換え", "")


def test_the_seed_file_of_self_instruct_is_read(tmp_path: Path) -> None:
    row = {
        "id": "seed_task_0",
        "instruction": "Is it a fruit?",
        "instances": [{"input": "apple", "output": "yes"}, {"input": "chair", "output": "no"}],
        "is_classification": True,
    }
    seeds = read_seeds(written(tmp_path, "a.jsonl", json.dumps(row)), "en")
    assert [(s.id, s.input, s.answer) for s in seeds] == [
        ("seed_task_0-1", "apple", "yes"),
        ("seed_task_0-2", "chair", "no"),
    ]


def test_a_row_without_any_instance_is_a_mistake(tmp_path: Path) -> None:
    rows = [{"instruction": "a", "instances": []}, {"instruction": "b", "output": "c"}]
    text = "\n".join(map(json.dumps, rows))
    assert "line 1: it has no output" in mistakes(written(tmp_path, "a.jsonl", text))


def test_all_mistakes_are_told_with_their_lines(tmp_path: Path) -> None:
    lines = [
        json.dumps(row) for row in (ROWS[0], {"instruction": "答えは？"}, ROWS[0], {"output": True})
    ]
    told = mistakes(written(tmp_path, "a.jsonl", "\n".join(lines)))
    assert "3 mistake(s)" in told
    assert "line 2: it has no output" in told
    assert "line 3: the same as line 1" in told
    assert "line 4: 'output' is True: write the text in quotes" in told


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        (
            "a.jsonl",
            '{"instruction": "a", "output": "b"}\n{"instruction": ',
            "line 2: it is no JSON",
        ),
        ("a.jsonl", "[1]", "line 1: it is no object"),
        ("a.json", '[\n{"instruction": "a"\n"output": "b"}]', "line 3: it is no JSON"),
        ("a.json", "3", "no list of rows"),
        ("a.json", "[]", "it holds no seeds"),
        ("a.yaml", "- instruction: a\n  output: [\n", "line 3"),
        ("a.yaml", "- instruction: a\n  output: b\n- question: c\n", "line 3: it has no output"),
        ("a.csv", 'instruction,output\na,b\n"c,d\n', "line"),
        ("a.csv", "指示,出力\n答えて,\n", "line 2: it has no output"),
        ("a.txt", "a", "not read from files of the kind '.txt'"),
    ],
)
def test_a_file_that_is_broken_is_told_with_the_place(
    tmp_path: Path, name: str, text: str, what: str
) -> None:
    assert what in mistakes(written(tmp_path, name, text))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "cannot be read" in mistakes(tmp_path / "none.jsonl")


@settings(deadline=None)
@given(st.lists(natural_text.filter(str.strip), min_size=1, max_size=4, unique_by=str.strip))
def test_texts_of_every_language_come_through(texts: list[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        rows = [json.dumps({"instruction": text, "output": text}) for text in texts]
        seeds = read_seeds(written(Path(folder), "a.jsonl", "\n".join(rows)), "ja")
    assert [seed.question for seed in seeds] == [text.strip() for text in texts]


def test_forty_seeds_ship_that_differ_and_are_in_order() -> None:
    seeds = read_seeds(BUILTIN / "instruction-set" / "seeds.jsonl", "ja")
    assert len(seeds) == 40
    assert {seed.licence_class for seed in seeds} == {"CC0-1.0"}
    assert len({seed.category for seed in seeds}) >= 15
    assert all(is_language(seed.question, "ja") for seed in seeds)
    assert not [seed for seed in seeds if instance_fault(seed.input, seed.answer)]
    assert sum(seed.style == "classification" for seed in seeds) >= 5
    assert max(similarity(a.question, b.question) for a, b in combinations(seeds, 2)) < 0.6
    answers = {seed.question: seed.answer for seed in seeds}
    haiku = next(answer for question, answer in answers.items() if "俳句" in question)
    assert "朝" in haiku
    without = next(
        answer for question, answer in answers.items() if "「雨」という字を使わずに" in question
    )
    assert "雨" not in without
    assert len(without) <= 30
    summary = next(answer for question, answer in answers.items() if "六十字以内" in question)
    assert len(summary) <= 60


def test_words_and_domains_of_the_users_stand_in_for_the_built_in_ones(tmp_path: Path) -> None:
    written(tmp_path, "words.yaml", "refusals: [無理です]\n")
    own, builtin = read_words("ja", tmp_path, "words.yaml"), read_words("ja", tmp_path)
    assert own.refusals == ("無理です",)
    assert own.template == builtin.template
    assert read_words("th", tmp_path) == read_words("en", tmp_path)
    written(tmp_path, "domains.yaml", "domains: [{name: 養蜂, description: 巣箱の世話}]\n")
    assert [d.name for d in read_domains("ja", tmp_path, "domains.yaml")] == ["養蜂"]
    for text in ("domains: []", "domains: [{name: a}]", "domains: [", "words: 1"):
        written(tmp_path, "bad.yaml", text)
        with pytest.raises(UserError, match=r"bad\.yaml"):
            read_domains("ja", tmp_path, "bad.yaml")
    twice = "domains: [{name: a, description: b}, {name: a, description: c}]"
    written(tmp_path, "bad.yaml", twice)
    with pytest.raises(UserError, match="twice"):
        read_domains("ja", tmp_path, "bad.yaml")
    with pytest.raises(UserError):
        read_words("ja", tmp_path, "none.yaml")
