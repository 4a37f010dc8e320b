"""Known marks and verdicts are read whole or refused with every mistake."""

import json
from pathlib import Path
from typing import Any

import pytest

from teichaku.core.errors import UserError
from teichaku.evaluation.benchmarks.catalogue import benchmark, read_rows
from teichaku.evaluation.judging.exchanges import Exchange, Pair
from teichaku.evaluation.judging.known import read_known, read_vicuna
from teichaku.evaluation.judging.verdicts import verdicts

CALM, BASELINE = "cyberagent--calm2-7b-chat", "openai--text-davinci-003"


def written(path: Path, *rows: Any) -> Path:
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    return path


def test_marks_are_read_with_all_that_stands_beside_them(tmp_path: Path) -> None:
    row = {
        "question": "何人？", "answer": "48人", "mark": 9, "reference": "48人", "by": "佐藤",
        "passage": "定員は48人。", "document": "あおば丸",
    }  # fmt: skip
    other = {**row, "question": "いくら？", "mark": 2}
    one, second = read_known(written(tmp_path / "k.jsonl", row, other)).items
    assert isinstance(one.shown, Exchange)
    (mark,) = one.marks
    assert (mark.score, mark.judge, one.shown.passage) == (9.0, "佐藤", "定員は48人。")
    assert one.exchanges[0].question.document_id == second.exchanges[0].question.document_id
    assert one.id != second.id


def test_verdicts_are_read_by_place(tmp_path: Path) -> None:
    rows = [
        {"question": f"{better}？", "answer_a": "あ", "answer_b": "い", "better": better}
        for better in ("A", "b", "same")
    ]
    found = read_known(written(tmp_path / "k.jsonl", *rows))
    assert [item.verdicts[0].winner for item in found.items] == ["first", "second", "tie"]
    given = {v.question_id: v.winner for v in verdicts([i.verdicts[0] for i in found.items], 1)}
    for item, place in zip(found.items, (0, 1, None), strict=True):
        wanted = "tie" if place is None else item.exchanges[place].answer.id
        assert given[item.exchanges[0].question.id] == wanted


def test_texts_may_hold_other_line_breaks_and_files_a_byte_order_mark(tmp_path: Path) -> None:
    answers = ["あ\u2028い", "あ\x85い", "あ\x0cい"]
    rows = [{"question": "何？", "answer": answer, "mark": 5} for answer in answers]
    path = written(tmp_path / "k.jsonl", *rows)
    path.write_text(path.read_text("utf-8").replace("\n", "\r\n"), "utf-8-sig", newline="")
    assert [item.exchanges[0].text for item in read_known(path).items] == answers


@pytest.mark.parametrize("better", ["same", "同じ", "Ｓａｍｅ", "引き分け"])
def test_a_tie_is_written_as_in_sheets(tmp_path: Path, better: str) -> None:
    row = {"question": "何？", "answer_a": "あ", "answer_b": "い", "better": better}
    (item,) = read_known(written(tmp_path / "k.jsonl", row)).items
    assert item.verdicts[0].winner == "tie"


def test_two_people_may_have_said_of_the_same(tmp_path: Path) -> None:
    mark = {"question": "何？", "answer": "あ", "mark": 5, "by": "佐藤"}
    (item,) = read_known(written(tmp_path / "m.jsonl", mark, {**mark, "by": "林", "mark": 7})).items
    assert {row.judge: row.score for row in item.marks} == {"佐藤": 5.0, "林": 7.0}
    pair = {"question": "何？", "answer_a": "あ", "answer_b": "い", "better": "A", "by": "佐藤"}
    path = written(tmp_path / "p.jsonl", pair, {**pair, "by": "林", "better": "B"})
    (item,) = read_known(path).items
    assert [row.winner for row in item.verdicts] == ["first", "second"]
    with pytest.raises(UserError, match="line 2: the same as an earlier line"):
        read_known(written(tmp_path / "m.jsonl", mark, {**mark, "mark": 7}))


def test_a_line_of_nothing_but_brackets_is_named(tmp_path: Path) -> None:
    (tmp_path / "k.jsonl").write_text("[" * 100_000, "utf-8")
    with pytest.raises(UserError, match="line 1: "):
        read_known(tmp_path / "k.jsonl")


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"question": "何？", "answer": "あ"}, "line 1: mark is missing"),
        ({"question": "何？", "answer": "あ", "mark": 11}, "mark is no number from 1 to 10"),
        ({"question": "何？", "answer": "あ", "mark": True}, "mark is no number from 1 to 10"),
        ({"question": " ", "answer": "あ", "mark": 1}, "question is empty"),
        ({"question": "何？", "answer": 3, "mark": 1}, "answer is no text"),
        ({"question": "何？", "answer": "あ", "mark": 1, "score": 1}, "unknown: score"),
        ({"question": "何？", "answer_a": "あ", "answer_b": "い", "better": "C"}, "none of A, B"),
        ({"question": "何？", "answer_a": "あ", "answer_b": "あ", "better": "A"}, "the same"),
        (["何？"], "no JSON object"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path: Path, row: Any, told: str) -> None:
    with pytest.raises(UserError) as raised:
        read_known(written(tmp_path / "k.jsonl", row))
    assert told in raised.value.message


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    mark = {"question": "何？", "answer": "あ", "mark": 1}
    pair = {"question": "何？", "answer_a": "あ", "answer_b": "い", "better": "A"}
    path = written(tmp_path / "k.jsonl", mark, mark, pair, {"answer": "あ"})
    path.write_text(path.read_text("utf-8") + "\n{", "utf-8")
    with pytest.raises(UserError) as raised:
        read_known(path)
    for told in ("line 2: the same", "line 4: question, mark", "line 5:", "make two files"):
        assert told in raised.value.message
    with pytest.raises(UserError, match="it has no line"):
        read_known(written(tmp_path / "empty.jsonl"))


def vicuna_copy(folder: Path, *, changed: bool = False) -> Path:
    """A copy of the benchmark with answers of two models, of the lengths that were judged."""
    for model, side in ((CALM, "1"), (BASELINE, "2")):
        rows = [
            {"question_id": row["question_id"], "choices": [{"turns": ["あ" * row[f"len_{side}"]]}]}
            for row in read_rows(benchmark("ja_vicuna_qa"), "verdicts")
            if row["model_1"] == CALM
        ]
        if changed and side == "1":
            rows[0]["choices"][0]["turns"][0] += "。"
            del rows[1]
        place = folder / "data" / "jp_bench" / "model_answer" / model
        place.mkdir(parents=True)
        written(place / "results.jsonl", *rows)
    return folder


def test_shipped_verdicts_find_the_answers_that_they_are_about(tmp_path: Path) -> None:
    found = read_vicuna(vicuna_copy(tmp_path))
    assert (len(found.items), found.orders) == (80, 2)
    assert all(isinstance(item.shown, Pair) for item in found.items)
    given = verdicts([row for item in found.items for row in item.verdicts], found.orders)
    arms = {e.answer.id: e.answer.arm for item in found.items for e in item.exchanges}
    winners = [arms.get(str(verdict.winner), "tie") for verdict in given]
    assert [winners.count(name) for name in (CALM, BASELINE, "tie")] == [56, 12, 12]
    # Of the other five models there are no answers here.
    assert {row.reason for row in found.dropped} == {"answer_missing"}
    assert len(found.items) + len(found.dropped) == 480


def test_an_answer_of_another_length_is_not_the_one_that_was_judged(tmp_path: Path) -> None:
    found = read_vicuna(vicuna_copy(tmp_path, changed=True))
    assert len(found.items) == 78
    reasons = [row.reason for row in found.dropped]
    assert (reasons.count("another_answer"), reasons.count("answer_missing")) == (1, 401)


def test_a_smaller_draw_is_part_of_a_larger_one(tmp_path: Path) -> None:
    found = read_vicuna(vicuna_copy(tmp_path))
    small, large = (found.drawn(count, 7).items for count in (10, 40))
    assert small == large[:10]
    assert found.drawn(10, 8).items != small
