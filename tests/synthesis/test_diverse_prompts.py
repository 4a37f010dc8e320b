"""Conformance with SPA (2603.22213)."""

import pytest

from made import passage, reply
from teichaku.backends.scripted import ScriptedModel, scripted_teacher
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Example
from teichaku.synthesis.diverse_prompts import KINDS, DiversePrompts
from teichaku.synthesis.method import UnusableReplyError, synthesize


def method(samples: int = 1, language: str = "ja") -> DiversePrompts:
    pack = PromptPack(language)
    prompts = {kind: pack.load(f"diverse_prompts_{kind}") for kind in KINDS}
    return DiversePrompts(prompts, language, samples=samples)


def test_seven_kinds_k_times_at_temperature_one_and_top_p_one() -> None:
    requests = list(method(samples=10).requests(passage()))
    assert len(requests) == 70
    assert [request.subject.style for request in requests[::10]] == [
        "key_concepts",
        "mind_map",
        "implications",
        "critical_thinking_qa",
        "case_study",
        "discussion",
        "teacher_style",
    ]
    assert {(r.sampling.temperature, r.sampling.top_p) for r in requests} == {(1.0, 1.0)}
    assert len({(r.messages, r.sampling.seed) for r in requests}) == 70


@pytest.mark.parametrize("language", ["ja", "en"])
def test_all_kinds_ask_about_the_passage_with_one_beginning(language: str) -> None:
    requests = list(method(language=language).requests(passage()))
    users = [request.messages[-1].content for request in requests]
    assert len({request.messages[0].content for request in requests}) == 1
    assert len({user[: user.index(passage().text) + len(passage().text)] for user in users}) == 1
    assert len(set(users)) == 7


def test_a_reply_of_any_kind_is_running_text() -> None:
    text = "遊覧船あおば丸\n- 造り\n  - 船体は檜\n- 定員\n  - 48人まで"
    for request in method().requests(passage()):
        (example,) = method().parse(reply(text, request.subject))
        assert (example.is_text, example.answer) == (True, text)
        assert example.style == request.subject.style


def test_a_copy_of_the_passage_is_of_no_kind() -> None:
    for request in method().requests(passage()):
        with pytest.raises(UnusableReplyError, match="copied"):
            list(method().parse(reply(f"{passage().text}\n定員：48人", request.subject)))


def test_the_kinds_give_different_examples_of_one_passage() -> None:
    found = list(synthesize([passage()], [method(samples=2)], ScriptedModel(scripted_teacher)))
    examples = [record for record in found if isinstance(record, Example)]
    assert len({example.id for example in examples}) == len(found) == 14
    assert {example.passage_id for example in examples} == {passage().id}
