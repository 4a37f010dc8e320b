"""Conformance with Synthetic Mixed Training's Focal Rewriting (2603.23562)."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damaged import damaged
from made import passage, reply
from teichaku.backends.scripted import ScriptedModel, scripted_teacher
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Dropped, Example, Reply, Request
from teichaku.synthesis.focal_rewrite import FocalRewrite
from teichaku.synthesis.method import UnusableReplyError, synthesize

PACK = PromptPack("ja")
PAIRS = json.dumps(
    {
        "pairs": [
            {"question": "遊覧船あおば丸の定員は？", "answer": "48人"},
            {"question": "遊覧船あおば丸の建造は？", "answer": ""},
            {"question": "遊覧船あおば丸の船体は？", "answer": "檜"},
        ]
    }
)


def method(**changes: Any) -> FocalRewrite:
    return FocalRewrite(PACK.load("document_qa"), PACK.load("focal_rewrite"), "ja", **changes)


def parsed(of: FocalRewrite) -> list[Any]:
    (request,) = of.requests(passage())
    return list(of.parse(reply(PAIRS, request.subject)))


def test_questions_come_first_and_are_examples_themselves() -> None:
    (request,) = method().requests(passage())
    assert passage().text in request.messages[-1].content
    assert request.schema is not None
    assert request.schema["properties"]["pairs"]["maxItems"] == 8
    found = parsed(method())
    assert [type(record) for record in found[:3]] == [Example, Dropped, Example]
    assert [e.answer for e in found if isinstance(e, Example)] == ["48人", "檜"]


def test_a_document_is_asked_for_around_every_question_with_the_passage_first() -> None:
    requests = [record for record in parsed(method()) if isinstance(record, Request)]
    assert [request.subject.detail.answer for request in requests] == ["48人", "檜"]
    for request in requests:
        asked = request.messages[-1].content
        assert asked.index(passage().text) < asked.index(request.subject.detail.question)
        assert (request.sampling.temperature, request.sampling.top_p) == (1.0, 1.0)
    assert len({request.sampling.seed for request in requests}) == 2
    assert sum(isinstance(r, Request) for r in parsed(method(per_question=3))) == 6
    assert sum(isinstance(r, Request) for r in parsed(method(rewritten=1))) == 1


def test_two_of_eight_questions_get_a_document_unless_all_are_wanted() -> None:
    pairs = [{"question": f"遊覧船あおば丸の{n}番目は？", "answer": f"{n}"} for n in range(8)]
    listed = json.dumps({"pairs": pairs})
    for rewritten, expected in ((2, ["0", "4"]), (None, list("01234567")), (9, list("01234567"))):
        of = method(rewritten=rewritten)
        (request,) = of.requests(passage())
        found = of.parse(reply(listed, request.subject))
        asked = [r.subject.detail.answer for r in found if isinstance(r, Request)]
        assert asked == expected
    assert method().rewritten == 2


def test_a_document_is_running_text_and_knows_the_pair_it_was_written_around() -> None:
    pair, _, _, request, _ = parsed(method())
    text = "遊覧船あおば丸に乗れるのは48人までである。檜の船体にはそれだけの場所がある。"
    (document,) = method().parse(reply(text, request.subject))
    assert isinstance(document, Example)
    assert (document.is_text, document.answer, document.style) == (True, text, "document")
    assert document.parent_ids == (pair.id,)
    assert (pair.style, pair.is_text) == ("qa", False)
    with pytest.raises(UnusableReplyError):
        list(method().parse(reply("遊覧船あおば丸の定員は48人です。", request.subject)))


def test_two_samples_of_too_many_questions_share_no_document() -> None:
    pairs = [{"question": f"遊覧船あおば丸の{n}番目は？", "answer": f"{n}"} for n in range(12)]
    of = method(samples=2, rewritten=None)
    found = [
        record
        for request in of.requests(passage())
        for record in of.parse(Reply(request, json.dumps({"pairs": pairs}), "stop"))
    ]
    documents = [record for record in found if isinstance(record, Request)]
    assert sorted(request.sample_index for request in documents) == list(range(16))
    assert len({request.sampling.seed for request in documents}) == 16
    assert [d.reason for d in found if isinstance(d, Dropped)] == ["over_limit"] * 8


def test_a_question_that_was_cut_off_keeps_its_place() -> None:
    (request,) = method().requests(passage())
    cut = PAIRS[: PAIRS.rindex("answer")]
    found = list(method().parse(reply(cut, request.subject, finish_reason="length")))
    assert [d.reason for d in found if isinstance(d, Dropped)] == ["incomplete_pair", "truncated"]


DOCUMENT = "遊覧船あおば丸に乗れるのは48人までである。檜の船体にはそれだけの場所がある。"


@given(damaged(PAIRS), damaged(DOCUMENT), st.sampled_from(["stop", "length"]))
def test_no_reply_breaks_the_parser(pairs: str, text: str, finish: str) -> None:
    request = next(record for record in parsed(method()) if isinstance(record, Request))
    (first,) = method().requests(passage())
    with contextlib.suppress(UnusableReplyError):
        found = list(method().parse(reply(pairs, first.subject, finish_reason=finish)))
        asked = sum(isinstance(record, Request) for record in found)
        assert asked == min(2, sum(isinstance(record, Example) for record in found))
    with contextlib.suppress(UnusableReplyError):
        (document,) = method().parse(reply(text, request.subject, finish_reason=finish))
        assert isinstance(document, Example)


def test_a_run_gives_both_halves_and_nothing_is_lost() -> None:
    of = [method(per_passage=4, samples=2, rewritten=None)]
    found = list(synthesize([passage()], of, ScriptedModel(scripted_teacher)))
    assert [type(record) for record in found] == [Example] * 16
    assert len({record.id for record in found if isinstance(record, Example)}) == 16
    assert sum(record.is_text for record in found if isinstance(record, Example)) == 8
