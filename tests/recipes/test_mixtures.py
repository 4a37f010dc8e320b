"""Data of others: what is read of it, how much of each source, and what becomes of the rest."""

import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teichaku.core.errors import RecipeError, UserError
from teichaku.core.records import MIX, Dropped, Example
from teichaku.recipes.load import load_recipe
from teichaku.recipes.mix_schema import Mix, MixSource
from teichaku.recipes.mixtures import (
    allotted,
    check_mixtures,
    largest,
    mix_fingerprint,
    mixture,
    read_source,
    size_told,
    told,
    whole,
)

PAIRS = [{"instruction": f"{n}の次の数は？", "output": f"{n + 1}です。"} for n in range(10)]


def lines(path: Path, rows: list[Any]) -> str:
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    return path.name


def source(path: str, **settings: Any) -> MixSource:
    return MixSource(**{"name": path.partition(".")[0], "path": path, **settings})


def examples_of(root: Path, path: str, **settings: Any) -> list[Example]:
    return list(read_source(source(path, **settings), root, "ja").examples.values())


def test_rows_of_every_form_become_the_same_example(tmp_path: Path) -> None:
    question, answer = "富士山の高さは？", "3,776メートルです。"
    names = [
        lines(tmp_path / "alpaca.jsonl", [{"instruction": question, "input": "", "output": answer}]),
        lines(tmp_path / "qa.jsonl", [{"質問": question, "回答": answer}]),
        lines(tmp_path / "chat.jsonl", [{"messages": [
            {"role": "user", "content": question}, {"role": "assistant", "content": answer}]}]),
        lines(tmp_path / "sharegpt.jsonl", [{"conversations": [
            {"from": "human", "value": question}, {"from": "gpt", "value": answer}]}]),
    ]  # fmt: skip
    (tmp_path / "table.csv").write_text(f'question,answer\n{question},"{answer}"\n', "utf-8")
    (tmp_path / "list.json").write_text(
        json.dumps([{"instruction": question, "output": answer}]), "utf-8"
    )
    pq.write_table(pa.table({"query": [question], "response": [answer]}), tmp_path / "rows.parquet")
    for name in (*names, "table.csv", "list.json", "rows.parquet"):
        (example,) = examples_of(tmp_path, name)
        assert (example.asked, example.answer) == (question, answer), name
        assert (example.method, example.category) == (MIX, name.partition(".")[0])
        assert not (example.teacher or example.prompt or example.document_id)


def test_columns_with_names_of_their_own_are_named(tmp_path: Path) -> None:
    rows = [{"ID": 1, "text": "挨拶は？", "output": "こんにちは。"}]
    lines(tmp_path / "own.jsonl", rows)
    named = {"question": "text", "answer": "output"}
    (pair,) = examples_of(tmp_path, "own.jsonl", columns=named)
    assert (pair.question, pair.answer) == ("挨拶は？", "こんにちは。")
    (tmp_path / "own.json").write_text(json.dumps(rows), "utf-8")
    assert examples_of(tmp_path, "own.json", columns=named) == [pair]


def test_a_text_beside_an_answer_is_the_question(tmp_path: Path) -> None:
    rows = [{"ID": "ichikara-1", "text": "挨拶は？", "output": "こんにちは。"}]
    lines(tmp_path / "own.jsonl", rows)
    (pair,) = examples_of(tmp_path, "own.jsonl")
    assert (pair.question, pair.answer) == ("挨拶は？", "こんにちは。")


@pytest.mark.parametrize("name", ["own.jsonl", "own.json"])
def test_columns_that_no_row_has_are_told_before_anything_is_spent(
    tmp_path: Path, name: str
) -> None:
    text = json.dumps(PAIRS[:1]) if name == "own.json" else json.dumps(PAIRS[0])
    (tmp_path / name).write_text(text, "utf-8")
    columns = "{question: instruction, answer: reply}"
    path = tmp_path / "recipe.yaml"
    recipe = RECIPE.replace("path: a.jsonl", f"path: {name}, columns: {columns}")
    path.write_text(recipe, "utf-8")
    with pytest.raises(UserError, match=r"no column 'reply'; it has .*output"):
        check_mixtures(load_recipe(path), tmp_path)
    path.write_text(recipe.replace("reply", "output"), "utf-8")
    check_mixtures(load_recipe(path), tmp_path)


def test_an_empty_system_turn_says_nothing_and_a_column_goes_before_all(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "東は？"}, {"from": "gpt", "value": "右。"}]
    empty = {"from": "system", "value": ""}
    lines(tmp_path / "empty.jsonl", [{"conversations": [empty, *turns]}])
    (example,) = examples_of(tmp_path, "empty.jsonl")
    assert example.question == "東は？"
    lines(tmp_path / "column.jsonl", [{"conversations": turns, "system": "短く。"}])
    (example,) = examples_of(tmp_path, "column.jsonl")
    assert example.question == "短く。\n\n東は？"
    pair = {"instruction": "北は？", "output": "上。", "system": "短く。"}
    lines(tmp_path / "pair.jsonl", [pair, {**pair, "history": [["東は？", "右。"]]}])
    alone, after = examples_of(tmp_path, "pair.jsonl")
    assert (alone.history, alone.question) == ((), "短く。\n\n北は？")
    assert (after.history, after.question) == (("短く。\n\n東は？", "右。"), "北は？")


def test_earlier_turns_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    pair = {"instruction": "北は？", "output": "上。"}
    rows = [{**pair, "history": history} for history in ("東は？", [["東は？"]], [["", "右"]], [])]
    lines(tmp_path / "pair.jsonl", [*rows, {**pair, "system": {"a": 1}}])
    found = read_source(source("pair.jsonl"), tmp_path, "ja")
    assert len(found.examples) == 1
    reasons = [fallen.evidence.rpartition(": ")[2] for fallen in found.fallen]
    assert [reason.split(" is ")[0] for reason in reasons] == [
        "'history'", "'history'", "a turn in 'history'", "'system'",
    ]  # fmt: skip


def test_each_reply_of_a_conversation_is_an_example_with_what_was_said_before(
    tmp_path: Path,
) -> None:
    turns = [
        ("system", "短く答える。"),
        ("user", "東は？"),
        ("assistant", "右です。"),
        ("user", "では"),
        ("user", "西は？"),
        ("assistant", "左です。"),
        ("user", "北は？"),
    ]
    row = {"messages": [{"role": role, "content": text} for role, text in turns]}
    lines(tmp_path / "chat.jsonl", [row])
    found = read_source(source("chat.jsonl"), tmp_path, "ja")
    first, second = found.examples.values()
    assert (first.history, first.question, first.answer) == (
        (),
        "短く答える。\n\n東は？",
        "右です。",
    )
    assert second.history == ("短く答える。\n\n東は？", "右です。")
    assert (second.turn, second.answer) == ("では\n\n西は？", "左です。")
    assert second.asked == "短く答える。\n\n東は？\n\n右です。\n\nでは\n\n西は？"
    assert (found.rows, found.unanswered) == (1, 1)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"messages": [{"role": "assistant", "content": "はい"}]}, "begins with the model's words"),
        ({"messages": [{"role": "user", "content": "はい"}]}, "no turn of a model"),
        ({"messages": [{"role": "tool", "content": "{}"}]}, "by 'tool'"),
        ({"messages": "はい"}, "no list of turns"),
        ({"messages": [{"role": "user", "content": "あ"}, {"role": "assistant", "content": " "}]},
         "a turn of the model is empty"),
    ],
)  # fmt: skip
def test_a_row_without_an_example_falls_with_its_reason_and_its_text(
    tmp_path: Path, row: Any, why: str
) -> None:
    good = {"messages": [{"role": "user", "content": "一"}, {"role": "model", "content": "二"}]}
    lines(tmp_path / "chat.jsonl", [row, good, "{"])
    found = read_source(source("chat.jsonl"), tmp_path, "ja")
    assert len(found.examples) == 1
    reasons = [(fallen.reason, fallen.evidence) for fallen in found.fallen]
    assert [reason for reason, _ in reasons] == ["bad_row", "bad_row"]
    assert why in reasons[0][1]
    assert "chat.jsonl, row 1" in reasons[0][1]
    assert json.loads(found.fallen[0].raw) == row


def test_rows_that_stand_twice_and_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    lines(folder / "a.jsonl", [PAIRS[0], PAIRS[1]])
    lines(folder / "b.jsonl", [PAIRS[1]])
    (folder / "broken.parquet").write_bytes(b"PAR1 no more")
    (folder / "README.md").write_text("about the data", "utf-8")
    found = read_source(source("data"), tmp_path, "ja")
    reasons = Counter(fallen.reason for fallen in found.fallen)
    assert reasons == {"repeated_row": 1, "unreadable_file": 1}
    assert (found.rows, found.files, len(found.examples)) == (3, 3, 2)


sizes = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 50), min_size=1)


@given(sizes, st.lists(st.floats(0.01, 100), min_size=4, max_size=4), st.integers(0, 250))
def test_parts_add_up_and_keep_to_the_weights_where_there_is_enough(
    sizes: dict[str, int], weights: list[float], total: int
) -> None:
    weight = dict(zip("abcd", weights, strict=True))
    parts = allotted({name: float(size) for name, size in sizes.items()}, weight, total)
    counts = whole(sizes, weight, total)
    assert sum(counts.values()) == min(total, sum(sizes.values()))
    assert all(0 <= counts[name] <= sizes[name] for name in sizes)
    more = whole(sizes, weight, total + 1)
    assert all(counts[name] <= more[name] for name in sizes)
    # Who could give more has its part by weight against every other one that could.
    open_ended = [name for name in sizes if parts[name] < sizes[name] - 1e-6]
    for one in open_ended:
        for other in open_ended:
            assert parts[one] * weight[other] == pytest.approx(parts[other] * weight[one])


def test_a_source_with_too_few_gives_all_and_the_others_make_up_for_it() -> None:
    parts = allotted({"few": 5.0, "a": 100.0, "b": 100.0}, {"few": 2, "a": 1, "b": 1}, 45)
    assert parts == {"few": 5.0, "a": 20.0, "b": 20.0}


def test_without_a_size_a_mixture_is_the_largest_of_its_weights_or_all_there_is() -> None:
    sizes, weights = {"a": 100.0, "b": 10.0, "none": 0.0}, {"a": 1.0, "b": 1.0, "none": 1.0}
    assert largest(sizes, weights, is_weighed=True) == 20
    assert largest(sizes, weights, is_weighed=False) == 110


def test_a_smaller_draw_is_part_of_a_larger_one_and_no_example_comes_twice(
    tmp_path: Path,
) -> None:
    lines(tmp_path / "a.jsonl", PAIRS)
    lines(tmp_path / "b.jsonl", [{"question": f"{n}?", "answer": f"{n}!"} for n in range(10)])
    sources = [source("a.jsonl", weight=3), source("b.jsonl", weight=1)]
    drawn = {}
    for total in (4, 8):
        mixed = mixture(Mix(sources=sources, total=total), tmp_path, "ja", 0)
        drawn[total] = {example.id for example in mixed.examples}
        assert Counter(e.category for e in mixed.examples) == {"a": 3 * total // 4, "b": total // 4}
        assert len(mixed.examples) + len(mixed.fallen) == 20
        assert {fallen.reason for fallen in mixed.fallen} == {"not_drawn"}
    assert drawn[4] < drawn[8]
    other = mixture(Mix(sources=sources, total=8), tmp_path, "ja", 1)
    assert {example.id for example in other.examples} != drawn[8]
    lines(tmp_path / "a.jsonl", PAIRS[::-1])
    again = mixture(Mix(sources=sources, total=8), tmp_path, "ja", 0)
    assert {example.id for example in again.examples} == drawn[8]


def test_a_mixture_by_characters_has_so_many_at_most(tmp_path: Path) -> None:
    lines(tmp_path / "short.jsonl", [{"question": f"{n}?", "answer": "ok"} for n in range(30)])
    lines(tmp_path / "long.jsonl", [{"question": f"{n}?", "answer": "ok" * 20} for n in range(30)])
    sources = [source("short.jsonl"), source("long.jsonl")]
    mixed = mixture(Mix(sources=sources, characters=200), tmp_path, "en", 0)
    sums: Counter[str] = Counter()
    for example in mixed.examples:
        sums[example.category] += len(example.asked) + len(example.answer)
    assert 80 <= sums["short"] <= 100
    assert 50 <= sums["long"] <= 100


def test_what_a_source_gave_is_noted_and_a_shortage_is_told(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", PAIRS)
    lines(tmp_path / "b.jsonl", PAIRS[:1])
    sources = [
        source("a.jsonl", weight=1, licence="CC0-1.0", attribution="somebody"),
        source("b.jsonl", weight=1),
        source("gone.jsonl", optional=True),
    ]
    a, b, gone = mixture(Mix(sources=sources, total=5), tmp_path, "ja", 0).notes
    assert (a["taken"], a["licence"], a["attribution"]) == (4, "CC0-1.0", "somebody")
    assert (b["readable"], b["taken"], b["got"]) == (1, 1, 0.2)
    assert "20.0% of the mixture where its weight asks for 50.0%" in told(b)
    assert told(a) == ""
    assert gone["absent"]
    assert "is not there" in told(gone)


def test_a_mixture_that_is_smaller_than_asked_is_told(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", PAIRS)
    lines(tmp_path / "b.jsonl", PAIRS[:4])
    sources = [source("a.jsonl"), source("b.jsonl")]
    short = mixture(Mix(sources=sources, total=100), tmp_path, "ja", 0).size
    assert (short["asked"], short["reached"], short["short"]) == (100, 14, True)
    assert size_told(short) == "the mixture has 14 of the 100 examples asked for"
    whole_size = mixture(Mix(sources=sources, total=14), tmp_path, "ja", 0).size
    assert size_told(whole_size) == ""
    by_characters = mixture(Mix(sources=sources, characters=10**6), tmp_path, "ja", 0).size
    assert size_told(by_characters).endswith("of the 1000000 characters asked for")
    assert size_told(mixture(Mix(sources=sources), tmp_path, "ja", 0).size) == ""


def test_a_source_whose_first_example_is_too_long_is_told(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", PAIRS)
    lines(tmp_path / "long.jsonl", [{"question": "?", "answer": "長" * 900}])
    sources = [source("a.jsonl"), source("long.jsonl")]
    mixed = mixture(Mix(sources=sources, characters=100), tmp_path, "ja", 0)
    assert "0 of its 1 examples" in told(mixed.notes[1])
    assert mixed.size["short"]


@given(st.lists(st.integers(1, 40), max_size=12), st.integers(1, 200), st.integers(0, 200))
def test_by_characters_too_a_smaller_mixture_is_part_of_a_larger_one(
    lengths: list[int], size: int, more: int
) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        rows = [{"question": f"{n}?", "answer": "あ" * size} for n, size in enumerate(lengths)]
        lines(root / "a.jsonl", [*rows, *PAIRS])
        lines(root / "b.jsonl", PAIRS)
        sources = [source("a.jsonl", weight=2), source("b.jsonl", weight=1)]
        small, large = (
            {e.id for e in mixture(Mix(sources=sources, characters=n), root, "ja", 0).examples}
            for n in (size, size + more)
        )
        assert small <= large


def test_limit_takes_some_of_a_source(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", PAIRS)
    mixed = mixture(Mix(sources=[source("a.jsonl", limit=3)]), tmp_path, "ja", 0)
    assert len(mixed.examples) == 3
    assert Counter(fallen.reason for fallen in mixed.fallen) == {"over_limit": 7}


def test_a_changed_file_makes_another_mixture(tmp_path: Path) -> None:
    mix = Mix(sources=[source("a.jsonl")])
    lines(tmp_path / "a.jsonl", PAIRS)
    before = mix_fingerprint(mix, tmp_path)
    lines(tmp_path / "a.jsonl", PAIRS[1:])
    assert mix_fingerprint(mix, tmp_path) != before
    assert mix_fingerprint(None, tmp_path) == {}


RECIPE = """\
name: mixed
language: ja
student: {backend: scripted}
arms:
  one:
    mix:
      - {name: a, path: a.jsonl, obtain: Ask the library for it.}
      - {name: b, path: b.jsonl, optional: true}
evaluation: {controls: [jcommonsenseqa]}
"""


def test_an_absent_source_is_refused_with_how_to_get_it(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE, "utf-8")
    with pytest.raises(RecipeError) as caught:
        check_mixtures(load_recipe(path), tmp_path)
    assert "arms.one.mix, a" in caught.value.message
    assert "Ask the library for it." in caught.value.message
    assert "arms.one.mix, b" not in caught.value.message
    lines(tmp_path / "a.jsonl", PAIRS)
    check_mixtures(load_recipe(path), tmp_path)
    lines(tmp_path / "b.jsonl", [{"colour": "red"}])
    with pytest.raises(UserError, match="no form that is known"):
        check_mixtures(load_recipe(path), tmp_path)


def test_own_examples_keep_where_they_come_from_and_lose_their_teacher(tmp_path: Path) -> None:
    from teichaku.core.run_folder import write_records

    made = Example("made-1", "d", "p", "document_qa", "問い", "答え", teacher="T", prompt="ja/x@1",
                   licence_class="permissive", history=("前", "後"))  # fmt: skip
    write_records(tmp_path / "own.parquet", Example, [made])
    (example,) = examples_of(tmp_path, "own.parquet")
    assert (example.parent_ids, example.history) == (("made-1",), ("前", "後"))
    assert (example.teacher, example.prompt, example.document_id) == ("", "", "")
    assert example.licence_class == "permissive"


def test_dropped_rows_are_no_examples(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", [*PAIRS, {"instruction": "", "output": "x"}])
    mixed = mixture(Mix(sources=[source("a.jsonl")], total=10), tmp_path, "ja", 0)
    assert len(mixed.examples) == 10
    assert [type(fallen) for fallen in mixed.fallen] == [Dropped]
