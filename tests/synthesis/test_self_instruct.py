"""Conformance with Self-Instruct (Wang et al. 2023), in Japanese and English."""

import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from instructions import TOPICS, human_seeds, instruction, many_seeds, prompt, self_instruct
from languages import natural_text, texts
from made import reply
from teichaku.backends.scripted import ScriptedError, ScriptedModel, scripted_teacher
from teichaku.core.models import ChatModel
from teichaku.core.prompts import parse_prompt
from teichaku.core.records import Dropped, Example, Reply, Request
from teichaku.synthesis.instruction_text import SimilarityIndex
from teichaku.synthesis.method import Subject, UnusableReplyError
from teichaku.synthesis.self_instruct import instance_fault, numbered_items

METHOD = self_instruct()
UNIT = instruction("次の文を敬語に直してください。", "")


def run(
    teacher: ChatModel,
    pool: Iterable[Example] = (),
    seeds: Iterable[Example] | None = None,
    **changes: Any,
) -> list[Any]:
    seeds = human_seeds() if seeds is None else seeds
    return list(self_instruct(**changes).run(list(seeds), list(pool), teacher))


def by_reason(found: Iterable[Any]) -> Counter[str]:
    return Counter(record.reason for record in found if isinstance(record, Dropped))


def script(*lists: str) -> ScriptedModel:
    """The lists in turn, then the scripted teacher for what comes of them."""
    left = list(lists)

    def answer(request: Request) -> str:
        if "self_instruct@" in request.prompt:
            return left.pop(0) if left else "9. なし"
        return scripted_teacher(request)

    return ScriptedModel(answer)


def shown(request: Request) -> list[str]:
    return re.findall(r"^\d+\. (.+)$", request.messages[-1].content.partition("一覧：")[2], re.M)


def list_requests(
    teacher: ChatModel,
    pool: Iterable[Example] = (),
    seeds: Iterable[Example] | None = None,
    **changes: Any,
) -> list[Any]:
    asked: list[Request] = []

    class Listening:
        identity = "listening"

        def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
            for request in requests:
                if request is not None:
                    asked.append(request)
                    yield from teacher.generate([request])

    run(Listening(), pool, seeds, **changes)
    return [request for request in asked if "self_instruct@" in request.prompt]


def test_the_numbers_of_the_paper() -> None:
    lists = METHOD.list_sampling
    assert (lists.temperature, lists.top_p, lists.presence_penalty) == (0.7, 0.5, 2)
    assert lists.max_tokens == 1024
    for sampling, tokens in (
        (METHOD.input_first_sampling, 350),
        (METHOD.output_first_sampling, 300),
    ):
        assert (sampling.temperature, sampling.presence_penalty) == (0, 1.5)
        assert sampling.max_tokens == tokens
    assert (METHOD.similarity, METHOD.instances) == (0.7, 5)


def test_what_differs_from_the_paper_and_is_said_to() -> None:
    classify = METHOD.classify_sampling
    assert (classify.temperature, classify.max_tokens) == (0, 32)  # published: 3
    for language in ("ja", "en"):
        text = prompt("self_instruct_classify", language).messages(instruction="X")[-1].content
        assert text.count('{"classification"') == 10  # published: 31
    assert METHOD.list_sampling.stop == ()  # published: the sixteenth item


def test_a_list_shows_eight_people_first_and_then_six_with_two_of_the_machine() -> None:
    teacher, seeds = ScriptedModel(scripted_teacher), many_seeds(20)
    asked = list_requests(teacher, seeds=seeds, instructions=60, requests_per_round=2, max_rounds=3)
    by_people = {seed.question for seed in seeds}
    assert len(asked) == 6
    for request in asked[:2]:
        assert len(shown(request)) == 8
        assert set(shown(request)) <= by_people
    for request in asked[2:]:
        assert len(shown(request)) == 8
        assert len(set(shown(request)) & by_people) == 6
    assert len({tuple(shown(request)) for request in asked}) == 6
    assert "9番から15番まで" in asked[0].messages[-1].content


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_prompt_shows_no_task_beside_the_eight(language: str) -> None:
    eight = [f"«task {n}»" for n in range(8)]
    messages = prompt("self_instruct", language).messages(instructions=eight, first=9, last=15)
    numbered = re.findall(r"^(\d+)\. (.+)$", messages[-1].content, re.MULTILINE)
    assert [text for _, text in numbered[-8:]] == eight
    assert [number for number, _ in numbered[:-8]] == ["1", "2", "3", "4"]  # the rules


def test_an_item_that_stands_in_the_prompt_does_not_join_the_pool() -> None:
    task = "時速4kmで歩く人が90分で進む道のりを求め、式も示してください。"
    source = f"version: 1\n[user]\n例：\n3. {task}\n\n{{{{ instructions }}}}{{{{ first }}}}{{{{ last }}}}"
    own = parse_prompt(source, "ja/self_instruct")
    method = self_instruct(instructions=1, max_rounds=1)
    method = replace(method, prompts=replace(method.prompts, more=own))
    found = list(method.run(human_seeds(), [], script(f"9. {task}")))
    assert by_reason(found) == {"too_similar": 1}


def test_an_instruction_is_shown_once_however_many_instances_it_has() -> None:
    asked = "次の文を短く書き直してください。"
    people = [instruction(asked, input=f"文{n}") for n in range(10)]
    machine = [instruction(TOPICS[0], input=f"{n}", method="evol_instruct") for n in range(10)]
    machine += [instruction(f"{asked}　", input=f"行{n}", method="domain_spread") for n in range(5)]
    text = "9. 海辺の町の一日を日記に書いてください。"
    (request,) = list_requests(script(text), machine, people, instructions=1, max_rounds=1)
    assert sorted(shown(request)) == sorted([asked, TOPICS[0]])


def test_a_round_asks_for_less_than_the_pool_has() -> None:
    seeds = many_seeds(40)
    asked = list_requests(
        ScriptedModel(scripted_teacher), seeds=seeds, instructions=90, requests_per_round=64,
        max_rounds=3,
    )  # fmt: skip
    rounds = Counter(request.sample_index // 64 for request in asked)
    assert rounds[0] == 5
    assert rounds[1] > rounds[0]
    few = list_requests(script(), seeds=seeds[:3], instructions=90, max_rounds=1)
    assert len(few) == 1


def test_what_was_made_before_is_of_the_machine_but_not_what_belongs_to_a_document() -> None:
    before = [
        instruction(f"駅前の花壇{n}に植える草花を選んでください。", method="domain_spread")
        for n in range(3)
    ]
    about_document = instruction("定員は？", document_id="d", passage_id="p", method="document_qa")
    (request,) = list_requests(
        script("1. 海辺の町の一日を日記に書いてください。"), [*before, about_document],
        instructions=1, max_rounds=1,
    )  # fmt: skip
    of_machine = set(shown(request)) - set(TOPICS)
    assert len(of_machine) == 2
    assert of_machine <= {example.question for example in before}
    assert not any("定員" in line for line in shown(request))


def test_the_list_is_read_up_to_the_sixteenth_item() -> None:
    text = "はい。\n9. 甲をせよ\n10．乙を\n  せよ\n11） **丙をせよ**\n\n以上です。\n15. 丁をせよ"
    items = ["甲をせよ", "乙を\n  せよ", "丙をせよ", "丁をせよ"]
    assert numbered_items(text) == (items, True)
    assert numbered_items(f"{text}\n16. 戊をせよ") == (items, False)
    assert numbered_items("<think>9. no\n16. no\n</think>９. 甲をせよ") == (["甲をせよ"], True)


def test_an_item_whose_number_has_no_space_behind_it_is_an_item() -> None:
    text = "9.3人で遊べる遊びを挙げてください。\n10.5分で読める話を書いてください。\n16.5 km走る。"
    items = ["3人で遊べる遊びを挙げてください。", "5分で読める話を書いてください。\n16.5 km走る。"]
    assert numbered_items(text) == (items, True)


@pytest.mark.parametrize("end", ["\n11.", "\n11. ", "\n\n以上の十件は、ど", "\n"])
def test_a_list_that_was_cut_behind_a_whole_item_keeps_it(end: str) -> None:
    text = f"9. 甲をせよ\n10. 乙をせよ{end}"
    assert numbered_items(text) == (["甲をせよ", "乙をせよ"], False)


def test_a_time_of_day_neither_begins_an_item_nor_ends_the_list() -> None:
    text = (
        "9. 次の案内を直してください。\n10:30発の電車は遅れます。\n16:00に着きます。\n10. 乙をせよ"
    )
    first = "次の案内を直してください。\n10:30発の電車は遅れます。\n16:00に着きます。"
    assert numbered_items(text) == ([first, "乙をせよ"], True)


def test_each_item_falls_for_its_own_reason() -> None:
    items = {
        "too_short": "短い文。",
        "too_long": "長" + "い話を続けて" * 60 + "ください。",
        "beyond_text": "次の画像に写っている動物の名前を答えてください。",
        "asks_for_a_program": "素数を百個まで表示するプログラムを書いてください。",
        "begins_with_punctuation": "・駅までの道順を分かりやすく説明してください。",
        "wrong_language": "Explain how a tide table is read by sailors.",
        "too_similar": "英文を、日本語に翻訳してください。",
    }
    good = [
        "海辺の町の一日を、郵便配達員の目で日記に書いてください。",
        "「雨」を含む四字の熟語を二つ挙げてください。",
    ]
    listed = "\n".join(f"{n}. {item}" for n, item in enumerate([*items.values(), *good], 7))
    found = run(script(listed), instructions=2, max_rounds=1)
    assert by_reason(found) == Counter(list(items))
    assert {e.question for e in found if isinstance(e, Example)} == set(good)
    evidence = {d.reason: d.evidence for d in found if isinstance(d, Dropped)}
    assert "英文を日本語に翻訳してください。" in evidence["too_similar"]


def test_the_length_band_is_three_to_a_hundred_and_fifty_words_in_english() -> None:
    words = ["tide"] * 3, ["rare"] * 4, ["long"] * 150, ["over"] * 151
    listed = "\n".join(f"{n}. {' '.join(text)}" for n, text in enumerate(words, 9))
    method = self_instruct("en", instructions=1, max_rounds=1)
    seeds = [instruction("Name three rivers of Asia.", "Indus, Amur, Mekong", language="en")]
    found = list(method.run(seeds, [], script(listed)))
    assert by_reason(found) == {"too_short": 1, "too_long": 1}


def test_write_a_program_stands_at_the_beginning_in_english() -> None:
    listed = (
        "9. Write a program that sorts names.\n10. Explain to a child how people write a program."
    )
    method = self_instruct("en", instructions=1, max_rounds=1)
    found = list(method.run([instruction("Name three rivers of Asia.")], [], script(listed)))
    assert by_reason(found) == {"asks_for_a_program": 1}


def test_no_two_instructions_of_the_pool_are_more_than_seven_tenths_alike() -> None:
    found = run(
        ScriptedModel(scripted_teacher), instructions=40, requests_per_round=3, max_rounds=6
    )
    made = list(dict.fromkeys(e.question for e in found if isinstance(e, Example)))
    assert len(made) > 5
    for place, one in enumerate(made):
        assert SimilarityIndex([*TOPICS, *made[:place]]).nearest(one, 0.7) is None
    assert by_reason(found)["too_similar"] > 0


def test_the_last_item_of_a_list_that_was_cut_falls() -> None:
    diary, mean = (
        "海辺の町の一日を日記に書いてください。",
        "与えられた数の平均を小数で求めてください。",
    )

    class Cut:
        identity = "cut"

        def __init__(self, text: str) -> None:
            self.text = text

        def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
            for request in filter(None, requests):
                is_list = "self_instruct@" in request.prompt
                answer = self.text if is_list else scripted_teacher(request)
                yield Reply(request, answer, "length" if is_list else "stop")

    found = run(Cut(f"14. {diary}\n15. {mean}"), instructions=1, max_rounds=1)
    assert by_reason(found) == {"truncated": 1}
    assert {e.question for e in found if isinstance(e, Example)} == {diary}
    for end in ("\n16. 与えられ", "\n16.", "\n", "\n\n以上の課題は、ど"):
        whole = run(Cut(f"14. {diary}\n15. {mean}{end}"), instructions=1, max_rounds=1)
        assert not by_reason(whole)
        assert {e.question for e in whole if isinstance(e, Example)} == {diary, mean}
    empty = run(Cut(f"13. {diary}\n14. {mean}\n15."), instructions=1, max_rounds=1)
    assert {e.question for e in empty if isinstance(e, Example)} == {diary, mean}


def test_of_two_lists_of_a_round_with_one_item_the_first_gives_it() -> None:
    item = "9. 海辺の町の一日を日記に書いてください。"
    found = run(
        script(item, item), seeds=many_seeds(16), instructions=9, requests_per_round=2, max_rounds=1
    )
    assert by_reason(found) == {"too_similar": 1}
    assert "list 2" in next(d.evidence for d in found if isinstance(d, Dropped))


def test_it_goes_on_in_rounds_until_there_are_enough_and_asks_for_no_more_than_is_missing() -> None:
    teacher = ScriptedModel(scripted_teacher)
    few = list_requests(teacher, instructions=7, requests_per_round=16, max_rounds=1)
    assert len(few) == 1
    none, many = script(*["9. 短い"] * 4), many_seeds(16)
    asked = list_requests(none, seeds=many, instructions=50, requests_per_round=2, max_rounds=2)
    assert len(asked) == 4


def test_it_ends_where_three_rounds_in_a_row_gave_nothing() -> None:
    listed = ["9. 短い", "9. 海辺の町の一日を日記に書いてください。", *["9. 短い"] * 9]
    asked = list_requests(script(*listed), instructions=50, requests_per_round=1, max_rounds=9)
    assert len(asked) == 5


class Backwards:
    """Replies to what is on its way in the reverse order, as a server may."""

    identity = "backwards"

    def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        held: list[Request] = []
        for request in requests:
            if request is not None:
                held.append(request)
            elif held:
                yield from ScriptedModel(scripted_teacher).generate([held.pop()])
            else:
                return
        while held:
            yield from ScriptedModel(scripted_teacher).generate([held.pop()])


def test_the_order_of_the_replies_and_of_the_seeds_changes_nothing() -> None:
    method = self_instruct(instructions=30, requests_per_round=4, max_rounds=4)
    seeds = many_seeds(40)
    straight = list(method.run(seeds, [], ScriptedModel(scripted_teacher)))
    turned = list(method.run(seeds[::-1], [], Backwards()))
    order = lambda record: record.id if isinstance(record, Example) else record.record_id  # noqa: E731
    assert sorted(straight, key=order) == sorted(turned, key=order)
    other = self_instruct(instructions=30, requests_per_round=4, max_rounds=4, seed=1)
    assert sorted(other.run(seeds, [], Backwards()), key=order) != sorted(straight, key=order)


def test_the_requests_are_told_and_a_failed_list_is_told_with_its_place() -> None:
    told: list[int] = []

    def failing(request: Request) -> str:
        if "self_instruct@" in request.prompt and request.sample_index == 1:
            raise ScriptedError("server is down")
        return scripted_teacher(request)

    teacher = ScriptedModel(failing)
    method = self_instruct(instructions=20, requests_per_round=3, max_rounds=2)
    found = list(method.run(many_seeds(24), [], teacher, None, told.append))
    assert sum(told) == sum(teacher.sent.values())
    (lost,) = (d for d in found if isinstance(d, Dropped) and d.reason == "request_failed")
    assert "round 1, list 2" in lost.evidence
    assert any(isinstance(record, Example) for record in found)


def test_a_classification_gets_its_output_before_its_input() -> None:
    for is_classification, keys in ((True, ["output", "input"]), (False, ["input", "output"])):
        (classify,) = METHOD.requests(UNIT)
        answer = Reply(classify, json.dumps({"classification": is_classification}), "stop")
        (request,) = METHOD.parse(answer)
        assert isinstance(request, Request)
        assert request.schema is not None
        instances = request.schema["properties"]["instances"]
        assert list(instances["items"]["properties"]) == keys
        assert instances["maxItems"] == 5
        assert request.sampling.max_tokens == (300 if is_classification else 350)
        assert UNIT.question in request.messages[-1].content
    with pytest.raises(UnusableReplyError):
        list(METHOD.parse(Reply(classify, '{"classification": "maybe"}', "stop")))


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("true", "output_first"),
        ("はい。", "output_first"),
        ('{"classification": "True"}', "output_first"),
        ("分類：いいえ", "input_first"),
        ("classification: false", "input_first"),
    ],
)
def test_a_bare_word_says_whether_a_task_is_a_classification(text: str, step: str) -> None:
    (classify,) = METHOD.requests(UNIT)
    (request,) = METHOD.parse(Reply(classify, text, "stop"))
    assert isinstance(request, Request)
    assert step in request.prompt


@given(natural_text)
def test_a_sentence_does_not_say_whether_a_task_is_a_classification(text: str) -> None:
    (classify,) = METHOD.requests(UNIT)
    with pytest.raises(UnusableReplyError):
        list(METHOD.parse(Reply(classify, text, "stop")))


def instances(*pairs: tuple[str, str], **changes: Any) -> list[Any]:
    listed = [{"input": given, "output": output} for given, output in pairs]
    text = changes.pop("text", json.dumps({"instances": listed}, ensure_ascii=False))
    unit = replace(UNIT, parent_ids=("seed-1", "seed-2"))
    about = Subject(unit, METHOD, "input_first", "input_first")
    return list(METHOD.parse(reply(text, about, **changes)))


def test_an_instance_becomes_an_example_of_its_instruction() -> None:
    (example,) = instances(("明日行くよ。", "明日伺います。"))
    assert (example.question, example.input, example.answer) == (
        UNIT.question,
        "明日行くよ。",
        "明日伺います。",
    )
    assert (example.method, example.style) == ("self_instruct", "input_first")
    assert (example.document_id, example.passage_id) == ("", "")
    assert example.parent_ids == ("seed-1", "seed-2")


@pytest.mark.parametrize(
    ("given", "output", "reason"),
    [
        ("同じ文", "同じ文", "input_is_output"),
        ("ＡＢＣ", "abc", "input_is_output"),
        ("文", "", "empty_output"),
        ("文", "答えは次のとおり：", "ends_with_colon"),
        ("文", "The answer is:", "ends_with_colon"),
        ("次の文：", "答え", "ends_with_colon"),
        ("文", "答え", ""),
    ],
)
def test_an_instance_that_teaches_nothing_falls(given: str, output: str, reason: str) -> None:
    assert instance_fault(given, output) == reason
    found = instances((given, output), ("ほかの文", "ほかの答え"))
    assert by_reason(found) == ({reason: 1} if reason else {})
    assert len(found) == 2


def test_one_input_with_two_outputs_drops_the_whole_task() -> None:
    found = instances(("文", "はい"), ("別の文", "いいえ"), ("文", "いいえ"))
    assert by_reason(found) == {"contradicting_outputs": 3}


def test_an_instance_that_comes_again_falls_and_no_input_has_one_answer() -> None:
    assert by_reason(instances(("文", "はい"), ("文", "はい"))) == {"repeated_input": 1}
    found = instances(("なし", "一つめの答え"), ("", "二つめの答え"))
    assert [e.answer for e in found if isinstance(e, Example)] == ["一つめの答え"]
    assert by_reason(found) == {"repeated_input": 1}


def test_an_instance_that_the_prompt_shows_falls() -> None:
    copied, own = (
        ("明日、そっちに行くよ。", "明日、そちらに伺います。"),
        ("もう帰るね。", "失礼いたします。"),
    )
    found = instances(copied, own)
    assert by_reason(found) == {"copies_the_prompt": 1}
    assert [e.input for e in found if isinstance(e, Example)] == [own[0]]


def test_of_a_reply_that_was_cut_the_last_instance_falls() -> None:
    whole = '{"instances": [{"input": "文", "output": "答え"}, {"input": "別の文", "output": "途'
    found = instances(text=whole, finish_reason="length")
    assert [e.input for e in found if isinstance(e, Example)] == ["文"]
    assert by_reason(found) == {"truncated": 1}


def test_more_instances_than_asked_for_fall() -> None:
    found = instances(*((f"文{n}", f"答え{n}") for n in range(7)))
    assert by_reason(found) == {"over_limit": 2}


def test_prose_is_of_no_use() -> None:
    with pytest.raises(UnusableReplyError):
        instances(text="分かりました。")
    assert by_reason(run(script("一覧はありません。"), instructions=1, max_rounds=1)) == {
        "unparseable_reply": 1
    }


def test_a_list_that_cannot_be_read_is_asked_for_once_more() -> None:
    teacher = script("一覧はありません。", "9. 海辺の町の一日を日記に書いてください。")
    method = self_instruct(instructions=1, max_rounds=1)
    found = list(method.run(human_seeds(), [], teacher, prompt("ask_again")))
    assert {e.question for e in found if isinstance(e, Example)} == {
        "海辺の町の一日を日記に書いてください。"
    }


@settings(deadline=None)
@given(texts)
def test_no_reply_breaks_the_parser(text: str) -> None:
    assert all(numbered_items(text)[0])
    with contextlib.suppress(UnusableReplyError):
        assert instances(text=text, finish_reason="length")
