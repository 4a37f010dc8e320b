"""Conformance with Synthetic Mixed Training's Focal Rewriting (2603.23562)."""

import contextlib
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damaged import damaged
from made import example, passage, reply
from teichaku.backends.scripted import ScriptedModel, scripted_teacher
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Dropped, Example, Reply, Request
from teichaku.synthesis.focal_rewrite import FocalRewrite, characters, mix_by_tokens
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


def both_halves(pair_lengths: list[int], text_lengths: list[int]) -> list[Example]:
    """Pairs and documents of the given lengths, spread over three passages."""
    of = [passage(f"定員は{number}人。", f"第{number}号") for number in range(3)]
    pairs = [
        example("問" * (size - 1), "答", of[i % 3], id=f"pair{i}", method="focal_rewrite")
        for i, size in enumerate(pair_lengths)
    ]
    documents = [
        example("", "文" * size, of[i % 3], id=f"text{i}", method="focal_rewrite")
        for i, size in enumerate(text_lengths)
    ]
    return pairs + documents


lengths = st.lists(st.integers(2, 60), min_size=1, max_size=30)


@given(lengths, lengths, st.sampled_from([0.5, 1.0, 2.0]))
def test_the_halves_are_in_the_ratio_as_nearly_as_whole_examples_allow(
    pair_lengths: list[int], text_lengths: list[int], ratio: float
) -> None:
    found = both_halves(pair_lengths, text_lengths)
    mixed = list(mix_by_tokens(found, ratio))
    kept = [record for record in mixed if isinstance(record, Example)]
    pairs = sum(characters(record) for record in kept if not record.is_text)
    documents = sum(characters(record) for record in kept if record.is_text)
    longest = max(characters(record) for record in found)
    assert abs(documents - ratio * pairs) <= longest * max(1.0, ratio)
    assert pairs == sum(pair_lengths) or documents == sum(text_lengths)
    assert len(mixed) == len(found)
    fallen = [record for record in mixed if isinstance(record, Dropped)]
    assert {record.id for record in kept} | {drop.record_id for drop in fallen} == {
        record.id for record in found
    }
    assert all(drop.reason == "over_mixture" and drop.evidence for drop in fallen)


@given(lengths, lengths, st.integers())
def test_the_mixture_does_not_depend_on_the_order(
    pair_lengths: list[int], text_lengths: list[int], seed: int
) -> None:
    found = both_halves(pair_lengths, text_lengths)
    shuffled = random.Random(seed).sample(found, len(found))

    def kept(examples: list[Example]) -> set[str]:
        return {e.id for e in mix_by_tokens(examples) if isinstance(e, Example)}

    assert kept(found) == kept(shuffled)


def test_one_to_one_keeps_documents_of_every_passage_before_two_of_any() -> None:
    mixed = mix_by_tokens(both_halves([10] * 6, [20] * 12))
    documents = [e for e in mixed if isinstance(e, Example) and e.is_text]
    assert len(documents) == 3
    assert len({document.passage_id for document in documents}) == 3


def test_a_half_alone_and_other_methods_stay_whole() -> None:
    alone = both_halves([10] * 4, [])
    others = [example("定員は？", "48人"), example("", "檜の船。", method="verbatim")]
    assert list(mix_by_tokens([*alone, *others])) == [*alone, *others]


def test_tokens_can_be_counted_by_the_caller() -> None:
    found = both_halves([10, 10], [40, 40])
    mixed = mix_by_tokens(found, size=lambda e: 1.0)
    assert all(isinstance(record, Example) for record in mixed)


def test_a_run_gives_both_halves_and_nothing_is_lost() -> None:
    of = [method(per_passage=4, samples=2, rewritten=None)]
    found = list(synthesize([passage()], of, ScriptedModel(scripted_teacher)))
    assert [type(record) for record in found] == [Example] * 16
    assert len({record.id for record in found if isinstance(record, Example)}) == 16
    assert sum(record.is_text for record in found if isinstance(record, Example)) == 8
