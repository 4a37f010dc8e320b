"""Conformance with Active Reading (Lin et al. 2025, 2508.09494)."""

import contextlib
import json

import pytest
from hypothesis import given

from languages import texts
from made import passage, reply
from teichaku.backends.scripted import ScriptedModel, scripted_teacher
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Dropped, Example, Reply, Request
from teichaku.core.text import comparable
from teichaku.synthesis.active_reading import ActiveReading, read_strategies
from teichaku.synthesis.method import UnusableReplyError, synthesize

PACK = PromptPack("ja")
STRATEGIES = ["船の一生を物語に書く。", "数字だけを抜き出して意味を書く。"]
LISTED = json.dumps({"strategies": [{"strategy": s} for s in STRATEGIES]}, ensure_ascii=False)


def method(task: str = "", samples: int = 1) -> ActiveReading:
    name = "active_reading_task_strategies" if task else "active_reading_strategies"
    applying = PACK.load("active_reading_apply")
    return ActiveReading(PACK.load(name), applying, "ja", task=task, samples=samples)


def applications(samples: int = 1) -> list[Request]:
    asked = method(samples=samples).requests(passage())
    found = [r for a in asked for r in method(samples=samples).parse(Reply(a, LISTED))]
    return [record for record in found if isinstance(record, Request)]


def test_strategies_are_asked_for_first_at_the_published_sampling() -> None:
    (request,) = method().requests(passage())
    assert (request.sampling.temperature, request.sampling.top_p) == (0.7, 0.9)
    assert request.messages[-1].content.startswith(f"文書の名前：{passage().title}\n文書：\n")
    assert passage().text in request.messages[-1].content
    assert request.schema is not None
    assert list(request.schema["properties"]) == ["strategies"]
    assert request.subject.style == "task_agnostic"


def test_a_task_lets_the_teacher_imagine_its_questions_before_the_strategies() -> None:
    (request,) = method(task="船の知識を競うクイズ大会").requests(passage())
    assert request.schema is not None
    assert list(request.schema["properties"]) == ["questions", "strategies"]
    assert "船の知識を競うクイズ大会" in request.messages[-1].content
    assert request.subject.style == "task_specific"


def test_each_strategy_is_applied_apart_from_the_others() -> None:
    first, second = applications()
    one, two = STRATEGIES
    for request, own, other in ((first, one, two), (second, two, one)):
        asked = request.messages[-1].content
        assert passage().text in asked
        assert own in asked
        assert other not in asked
        assert (request.sampling.temperature, request.sampling.top_p) == (0.7, 0.9)
        assert request.sampling.max_tokens == 2048
        assert request.schema is None
    of_two_lists = applications(samples=2)
    assert len({request.sampling.seed for request in of_two_lists}) == 4


def test_thirty_words_or_sixty_japanese_characters_are_too_few_below() -> None:
    long = passage("船" * 200)
    (request,) = method().requests(long)
    (applied, *_) = method().parse(reply(LISTED, request.subject))
    assert isinstance(applied, Request)
    with pytest.raises(UnusableReplyError, match="at least 30"):
        list(method().parse(reply("檜" * 58, applied.subject)))
    (example,) = method().parse(reply("檜" * 60, applied.subject))
    assert isinstance(example, Example)
    assert example.is_text
    with pytest.raises(UnusableReplyError, match="at least 30"):
        list(method().parse(reply("word " * 29, applied.subject)))
    assert list(method().parse(reply("word " * 30, applied.subject)))


def test_a_short_application_is_asked_for_once_more() -> None:
    seen: list[Request] = []

    def script(request: Request) -> str:
        seen.append(request)
        is_first = request.subject.step == "application" and request.attempt == 0
        return "短い。" if is_first else scripted_teacher(request)

    again = PACK.load("ask_again")
    told: list[int] = []
    found = list(
        synthesize([passage()], [method()], ScriptedModel(script), again, expecting=told.append)
    )
    examples = [record for record in found if isinstance(record, Example)]
    assert len(found) == len(examples) == len({example.id for example in examples}) == 5
    assert len(seen) == 1 + 5 + 5
    assert sum(told) == 10


def test_a_list_without_strategies_is_one_dropped_example() -> None:
    model = ScriptedModel(lambda request: "申し訳ありません。")
    (lost,) = synthesize([passage()], [method()], model)
    assert isinstance(lost, Dropped)
    assert lost.reason == "unparseable_reply"


@pytest.mark.parametrize(
    "text",
    [
        LISTED,
        f"<think>考える</think>```json\n{LISTED}\n```",
        LISTED[:-2] + ', {"strategy": "年表に',
        json.dumps({"strategies": STRATEGIES}, ensure_ascii=False),
        f"次のしかたがあります。\n1. {STRATEGIES[0]}\n2. {STRATEGIES[1]}",
        f"・{STRATEGIES[0]}\n・{STRATEGIES[1]}\n・{STRATEGIES[0]}",
        f'{{"文書": "船"}}\n- {STRATEGIES[0]}\n- {STRATEGIES[1]}',
        f"① {STRATEGIES[0]}\n② {STRATEGIES[1]}",
    ],
)
def test_strategies_are_read_from_json_and_from_lists(text: str) -> None:
    assert read_strategies(text) == STRATEGIES


def test_what_stands_below_a_heading_belongs_to_its_strategy() -> None:
    text = "## 物語\n船の一生を書く。\n- 建造年\n\n## 年表\n1987年から書く。"
    assert read_strategies(text) == ["物語\n船の一生を書く。\n- 建造年", "年表\n1987年から書く。"]
    assert read_strategies("48.5人を乗せる船。") == []


@given(texts)
def test_no_reply_breaks_the_parsers(text: str) -> None:
    found = read_strategies(text)
    assert len({comparable(item) for item in found}) == len(found)
    (request,) = method().requests(passage())
    (application, *_) = applications()
    for subject in (request.subject, application.subject):
        with contextlib.suppress(UnusableReplyError):
            assert list(method().parse(reply(text, subject)))


@given(texts)
def test_strategies_in_json_come_back_as_they_are(text: str) -> None:
    listed = json.dumps({"strategies": [{"strategy": text}]})
    assert read_strategies(listed) == ([text.strip()] if comparable(text) else [])
