"""S1's absolute judge."""

import pytest
from hypothesis import given

from languages import texts
from made import BOAT, passage, question
from teichaku.backends.scripted import ScriptedModel
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Answer, Request
from teichaku.evaluation.judge import AbsoluteJudge, parse_judgement

ASKED = question("あおば丸の定員は？", "48人", id="q")
PASSAGES = {ASKED.passage_id: passage()}


def answer(text: str, name: str = "a", error: str = "") -> Answer:
    return Answer(name, "q", "qa", "epoch-1", "closed_book", text, error=error)


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ('{"judgement": "正しい。", "score": 9}', 9),
        ('```json\n{"judgement": "ほぼ[[7]]点だが", "score": "8"}\n```', 8),
        ('{"judgement": "a", "score": 3} いや {"judgement": "b", "score": 6}', 6),
        ('<think>{"score": 2}</think>{"judgement": "良い", "score": 10}', 10),
        ('{"judgement": "途中で切れ", "score": 7', 7),
        ('{"judgement": "範囲の外", "score": 11}', None),
        ('{"judgement": "零点", "score": 0}', None),
        ("10点満点で8点です。", None),
        ("", None),
    ],
)
def test_the_last_valid_score_counts(text: str, score: float | None) -> None:
    assert parse_judgement(text)[0] == score


@given(texts)
def test_no_reply_breaks_the_parser(text: str) -> None:
    score, _ = parse_judgement(text)
    assert score is None or 1 <= score <= 10


def test_the_judge_sees_passage_question_reference_and_answer() -> None:
    seen: list[str] = []

    def script(request: Request) -> str:
        seen.append("\n".join(message.content for message in request.messages))
        return '{"judgement": "定員が合っている。", "score": 10}'

    judge = AbsoluteJudge(PromptPack("ja").load("judge_absolute"), "scripted")
    (mark,) = judge.judge([answer("四十八人")], {"q": ASKED}, PASSAGES, ScriptedModel(script))
    assert (mark.score, mark.explanation) == (10, "定員が合っている。")
    for part in (BOAT, ASKED.question, "48人", "四十八人"):
        assert part in seen[0]
    assert seen[0].index(BOAT) < seen[0].index("四十八人"), "the answer comes last"


def test_prose_is_null_and_counted_and_failed_answers_are_not_marked() -> None:
    judge = AbsoluteJudge(PromptPack("ja").load("judge_absolute"), "scripted")
    model = ScriptedModel(lambda request: "とても良い答えです。")
    marks = list(
        judge.judge([answer("48人"), answer("", "b", "down")], {"q": ASKED}, PASSAGES, model)
    )
    assert [(m.answer_id, m.score, m.raw, bool(m.error)) for m in marks] == [
        ("a", None, "とても良い答えです。", True)
    ]
