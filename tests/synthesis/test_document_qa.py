import contextlib
import json

import pytest
from hypothesis import given

from languages import texts
from made import passage, reply
from teichaku.backends.scripted import ScriptedError, ScriptedModel, scripted_teacher
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Dropped, Example, Request
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


def test_a_reply_cut_at_the_limit_keeps_its_whole_pairs() -> None:
    cut = '```json\n{"pairs": [{"question": "定員は？", "answer": "48人"}, {"question": "建'
    found = list(METHOD.parse(reply(cut, ABOUT, finish_reason="length")))
    assert [type(record) for record in found] == [Example]


def test_an_incomplete_pair_is_dropped_with_its_text_and_prose_is_of_no_use() -> None:
    pairs = '{"pairs": [{"question": "定員は？", "answer": ""}]}'
    (empty,) = METHOD.parse(reply(pairs, ABOUT))
    assert isinstance(empty, Dropped)
    assert empty.reason == "incomplete_pair"
    with pytest.raises(UnusableReplyError):
        list(METHOD.parse(reply("申し訳ありません。", ABOUT)))


@given(texts)
def test_no_reply_breaks_the_parser(text: str) -> None:
    with contextlib.suppress(UnusableReplyError):
        assert list(METHOD.parse(reply(text, ABOUT)))


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
