"""Items are asked in one stream, turn after turn, and no answer is lost."""

import json
from pathlib import Path

import pytest

from teichaku.backends.scripted import ScriptedModel
from teichaku.core.records import Request
from teichaku.evaluation.answers import Asked
from teichaku.evaluation.benchmarks.conversations import NOT_ASKED, Put, ask_items
from teichaku.evaluation.benchmarks.marking import mark_as_published
from teichaku.evaluation.benchmarks.prepared import prepare, prepare_folder

BASE = Asked("base", "base", "closed_book")


def test_the_second_turn_shows_the_reply_to_the_first() -> None:
    of = prepare("mt_bench_ja", count=3)
    seen: list[Request] = []

    def reply(request: Request) -> str:
        seen.append(request)
        return f"返事{len(request.messages)}"

    answers = list(ask_items(of.items, of.asking, ScriptedModel(reply), BASE))
    assert len(answers) == len(of.items) == 6
    assert {answer.question_id for answer in answers} == {i.question.id for i in of.items}
    second = [request for request in seen if len(request.messages) == 3]
    assert len(second) == 3
    assert all(request.messages[1].content == "返事1" for request in second)
    by_question = {answer.question_id: answer.text for answer in answers}
    assert {by_question[i.question.id] for i in of.items if i.turn} == {"返事3"}


def test_a_turn_after_an_empty_one_is_not_asked_and_not_lost() -> None:
    of = prepare("mt_bench_ja", count=2)
    answers = list(ask_items(of.items, of.asking, ScriptedModel(lambda request: ""), BASE))
    assert len(answers) == 4
    errors = {answer.question_id: answer.error for answer in answers}
    assert [errors[item.question.id] for item in of.items] == ["", NOT_ASKED, "", NOT_ASKED]


def test_sets_of_one_turn_are_asked_in_the_plain_frame_or_as_a_chat() -> None:
    of = prepare("jnli", count=3)
    shapes: list[tuple[int, bool]] = []

    def reply(request: Request) -> str:
        shapes.append((len(request.messages), request.plain))
        return "<think>どれだろう。</think>neutral"

    model = ScriptedModel(reply)
    ways: tuple[Put, ...] = ("chat", "plain", "plain_in_chat")
    for put in ways:
        answers = list(ask_items(of.items, of.asking, model, BASE, put))
        assert [answer.text for answer in answers] == ["neutral"] * 3
    assert dict.fromkeys(shapes) == dict.fromkeys([(10, False), (1, True), (1, False)])


def test_a_reply_that_begins_with_a_blank_line_is_empty_as_published_by_a_pattern_too(
    tmp_path: Path,
) -> None:
    content = {
        "instruction": "答えてください。",
        "output_length": 8,
        "metrics": ["exact_match"],
        "num_few_shots": 0,
        "answer_extract_pattern": r"(?s)^(.*?)(?=\n\n|\Z)",
        "samples": [{"input": "日本の古都は？", "output": "京都"}],
    }
    (tmp_path / "dev").mkdir()
    path = tmp_path / "dev" / "towns.json"
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    of = prepare_folder(tmp_path, "towns")

    def value(reply: str, put: Put) -> float | None:
        model = ScriptedModel(lambda request: reply)
        (answer,) = ask_items(of.items, of.asking, model, BASE, put)
        assert of.metric is not None
        read = mark_as_published(of.items[0], answer, of.metric, of.answer_pattern)
        return read.strict_value

    assert value("\n\n京都", "plain") == 0.0
    assert value("\n京都\n\n東京", "plain") == 1.0
    # Space before an answer in a chat is the template's, and no answer of its own.
    assert value("\n\n京都", "plain_in_chat") == 1.0


def test_free_text_may_have_several_lines_and_a_short_answer_has_one() -> None:
    shapes: dict[str, set[bool]] = {}

    def reply(request: Request) -> str:
        shapes.setdefault(request.prompt, set()).add(request.several_lines)
        return "はい"

    for name in ("mt_bench_ja", "elyza_tasks_100", "m_ifeval_ja", "niilc"):
        of = prepare(name, count=2)
        list(ask_items(of.items, of.asking, ScriptedModel(reply), BASE))
    free = {name.partition("@")[0]: lines for name, lines in shapes.items()}
    assert free == {
        "benchmark/mt_bench_ja": {True},
        "benchmark/elyza_tasks_100": {True},
        "benchmark/m_ifeval_ja": {True},
        "benchmark/niilc": {False},
    }


def test_turns_cannot_be_asked_in_the_plain_frame() -> None:
    of = prepare("mt_bench_ja", count=1)
    with pytest.raises(ValueError, match="need a chat"):
        list(ask_items(of.items, of.asking, ScriptedModel(lambda request: "x"), BASE, "plain"))
