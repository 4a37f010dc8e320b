import contextlib
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damaged import damaged, json_values
from languages import sentence
from made import passage, reply
from teichaku.backends.scripted import ScriptedError, ScriptedModel, scripted_teacher
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Dropped, Example, Request
from teichaku.core.replies import text_value
from teichaku.core.text import contains
from teichaku.synthesis.document_qa import DocumentQA
from teichaku.synthesis.method import Subject, UnusableReplyError, synthesize

METHOD = DocumentQA(PromptPack("ja").load("document_qa"), "ja", seed=1)
ABOUT = Subject(passage(), METHOD)


def test_s5_asks_for_eight_pairs_a_passage() -> None:
    (request,) = METHOD.requests(passage())
    assert request.schema is not None
    assert request.schema["properties"]["pairs"]["maxItems"] == 8
    assert "8" in request.messages[-1].content
    assert passage().text in request.messages[-1].content
    assert passage().title in request.messages[-1].content


def test_requests_do_not_depend_on_other_passages_and_samples_differ() -> None:
    twice = DocumentQA(METHOD.prompt, "ja", seed=1, samples=2)
    first, second = twice.requests(passage())
    assert first.sampling.seed != second.sampling.seed
    assert next(iter(METHOD.requests(passage()))).sampling == first.sampling


def test_every_pair_becomes_an_example_with_its_origin() -> None:
    pairs = {
        "pairs": [
            {"question": "定員は？", "answer": "48人"},
            {"question": "建造は？", "answer": 1987},
        ]
    }
    found = list(METHOD.parse(reply(json.dumps(pairs), ABOUT)))
    assert [(e.question, e.answer) for e in found if isinstance(e, Example)] == [
        ("定員は？", "48人"),
        ("建造は？", "1987"),
    ]
    assert {e.passage_id for e in found if isinstance(e, Example)} == {passage().id}
    assert len({e.id for e in found if isinstance(e, Example)}) == 2


WHOLE = [
    json.dumps({"question": question, "answer": answer}, ensure_ascii=False)
    for question, answer in (
        ("定員は？", "48人"),
        ("合言葉は？", '}, {"question": "偽物'),
        ("建造は？", "1987年"),
    )
]


@pytest.mark.parametrize(
    "end", range(len('{"pairs": [') + len(WHOLE[0]), len(", ".join(WHOLE)) + 13)
)
@pytest.mark.parametrize("finish", ["length", "stop"])
def test_a_reply_cut_at_the_limit_keeps_its_whole_pairs_and_the_place_of_the_cut_one(
    end: int, finish: str
) -> None:
    text = f'{{"pairs": [{", ".join(WHOLE)}]}}'
    starts = [text.index(pair) for pair in WHOLE]
    stops = [start + len(pair) for start, pair in zip(starts, WHOLE, strict=True)]
    whole = sum(stop <= end for stop in stops)
    begun = any(start < end < stop for start, stop in zip(starts, stops, strict=True))
    found = list(METHOD.parse(reply(text[:end], ABOUT, finish_reason=finish)))
    kept = [record for record in found if isinstance(record, Example)]
    fallen = [record for record in found if isinstance(record, Dropped)]
    assert len(kept) == whole
    assert [record.reason for record in fallen] == ["truncated"] * (begun and finish == "length")
    assert all(text[:end].endswith(record.raw) and record.raw for record in fallen)


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"pairs": [{"question": "定員は？", "answer": "48人"}, {"question": "建',
        '<think>{"question": </think>[{"question": "定員は？", "answer": "48人"}, {"answer"',
        '{"question": "定員は？", "answer": "48人"}\n{',
    ],
)
def test_a_cut_pair_is_found_in_every_usual_form(text: str) -> None:
    found = list(METHOD.parse(reply(text, ABOUT, finish_reason="length")))
    assert [getattr(record, "reason", "") for record in found] == ["", "truncated"]


def test_pairs_beyond_those_asked_for_are_dropped() -> None:
    pairs = [{"question": f"第{number}の問い", "answer": f"{number}"} for number in range(12)]
    found = list(METHOD.parse(reply(json.dumps({"pairs": pairs}), ABOUT)))
    assert [type(record) for record in found] == [Example] * 8 + [Dropped] * 4
    fallen = [record for record in found if isinstance(record, Dropped)]
    assert {record.reason for record in fallen} == {"over_limit"}
    assert len({record.record_id for record in fallen}) == 4
    assert "第11の問い" in fallen[-1].raw


def test_an_incomplete_pair_is_dropped_with_its_text_and_prose_is_of_no_use() -> None:
    pairs = '{"pairs": [{"question": "定員は？", "answer": ""}]}'
    (empty,) = METHOD.parse(reply(pairs, ABOUT))
    assert isinstance(empty, Dropped)
    assert empty.reason == "incomplete_pair"
    with pytest.raises(UnusableReplyError):
        list(METHOD.parse(reply("申し訳ありません。", ABOUT)))


LINES = {
    "ja": "質問{n}：{question}\n答え{n}：{answer}",
    "en": "Q{n}: {question}\nA{n}: {answer}",
}


@given(
    st.lists(st.tuples(sentence, sentence), min_size=1, max_size=10),
    st.sampled_from(sorted(LINES)),
    st.sampled_from(["stop", "length"]),
)
def test_lines_of_questions_and_answers_are_pairs_as_well(
    pairs: list[tuple[str, str]], language: str, finish: str
) -> None:
    lines = [
        LINES[language].format(n=number, question=question, answer=answer)
        for number, (question, answer) in enumerate(pairs, 1)
    ]
    answered = reply("\n\n".join(lines), ABOUT, finish_reason=finish)
    whole = pairs[:-1] if finish == "length" else pairs
    if not whole:
        with pytest.raises(UnusableReplyError):
            list(METHOD.parse(answered))
        return
    found = list(METHOD.parse(answered))
    kept = [record for record in found if isinstance(record, Example)]
    assert [(e.question, e.answer) for e in kept] == whole[:8]
    reasons = [record.reason for record in found if isinstance(record, Dropped)]
    assert reasons == ["over_limit"] * len(whole[8:]) + ["truncated"] * (finish == "length")


def test_a_line_that_begins_with_a_label_alone_makes_prose_no_pair() -> None:
    with pytest.raises(UnusableReplyError):
        list(METHOD.parse(reply("回答：申し訳ありませんが、お答えできません。", ABOUT)))


def test_json_goes_before_lines() -> None:
    text = '質問：偽物は？\n答え：偽物\n{"pairs": [{"question": "定員は？", "answer": "48人"}]}'
    (found,) = METHOD.parse(reply(text, ABOUT))
    assert isinstance(found, Example)
    assert found.question == "定員は？"


near_pairs = st.lists(
    st.fixed_dictionaries({"question": sentence, "answer": sentence})
    | st.fixed_dictionaries({}, optional={"question": json_values, "answer": json_values})
    | json_values,
    min_size=1,
    max_size=6,
)


@given(near_pairs)
def test_every_pair_of_a_reply_has_its_place(pairs: list[Any]) -> None:
    three = DocumentQA(METHOD.prompt, "ja", seed=1, per_passage=3)
    found = list(three.parse(reply(json.dumps({"pairs": pairs}), ABOUT)))
    assert len(found) == len(pairs)
    for position, (record, pair) in enumerate(zip(found, pairs, strict=True)):
        parts = pair if isinstance(pair, dict) else {}
        filled = all(text_value(parts.get(name)) for name in ("question", "answer"))
        assert isinstance(record, Example) == (filled and position < 3)


MANY = json.dumps(
    {"pairs": [{"question": f"第{n}の「問い」は？", "answer": f'"{n}"'} for n in range(10)]},
    ensure_ascii=False,
)


@given(damaged(MANY), st.sampled_from(["stop", "length"]))
def test_no_reply_breaks_the_parser(text: str, finish: str) -> None:
    with contextlib.suppress(UnusableReplyError):
        found = list(METHOD.parse(reply(text, ABOUT, finish_reason=finish)))
        ids = [getattr(record, "record_id", getattr(record, "id", "")) for record in found]
        assert len(set(ids)) == len(ids) > 0
        assert sum(isinstance(record, Example) for record in found) <= 8


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_worked_example_of_the_prompt_is_what_it_asks_for(language: str) -> None:
    prompt = PromptPack(language).load("document_qa")
    asked = prompt.messages(passage="", title="", count=3)[-1].content
    ((document, shown),) = re.findall(r"^(?:文書：|Document: )(.+)\n(\{.+\})$", asked, re.MULTILINE)
    found = list(DocumentQA(prompt, language, per_passage=3).parse(reply(shown, ABOUT)))
    assert [type(record) for record in found] == [Example] * 3
    assert all(contains(document, e.answer) for e in found if isinstance(e, Example))


def test_a_failed_request_is_dropped_and_the_others_go_on() -> None:
    good, bad = passage(), passage("定員：5人", "小舟")

    def script(request: Request) -> str:
        if request.subject.unit == bad:
            raise ScriptedError("server is down")
        return scripted_teacher(request)

    found = list(synthesize([bad, good], [METHOD], ScriptedModel(script)))
    fallen = [record for record in found if isinstance(record, Dropped)]
    assert [(d.reason, "server is down" in d.evidence) for d in fallen] == [
        ("request_failed", True)
    ]
    assert {e.document_id for e in found if isinstance(e, Example)} == {good.document_id}
