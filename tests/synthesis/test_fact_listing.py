import contextlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damaged import damaged
from languages import sentence
from made import passage, reply
from teichaku.backends.cache import CachedModel, RequestCache
from teichaku.backends.scripted import ScriptedModel, scripted_teacher
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Dropped, Fact, Passage, Request
from teichaku.core.text import comparable
from teichaku.recipes.methods import method_fingerprint
from teichaku.synthesis.fact_listing import FactListing
from teichaku.synthesis.facts import Facts
from teichaku.synthesis.method import Made, Subject, UnusableReplyError, synthesize
from teichaku.synthesis.reverse import Reverse

PROMPTS = PromptPack("ja")
LISTING = FactListing(PROMPTS.load("fact_listing"), "ja", seed=1)
ABOUT = Subject(passage(), LISTING, step="facts")


def listed(text: str, **changes: str) -> tuple[list[str], list[str]]:
    """The statements of the facts in a reply, and the reasons of what is dropped."""
    found = list(LISTING.parse(reply(text, ABOUT, **changes)))
    facts = [record.statement for record in found if isinstance(record, Fact)]
    return facts, [record.reason for record in found if isinstance(record, Dropped)]


def test_facts_are_asked_for_once_and_greedily() -> None:
    (request,) = LISTING.requests(passage())
    assert request.sampling.temperature == 0
    assert passage().text in request.messages[-1].content
    assert request.subject.step == "facts"


def test_every_fact_knows_where_it_comes_from() -> None:
    text = "1. 遊覧船あおば丸の定員は48人である。\n2. 遊覧船あおば丸は1987年に建造された。"
    first, second = LISTING.parse(reply(text, ABOUT))
    assert isinstance(first, Fact)
    assert isinstance(second, Fact)
    assert (first.statement, first.index, second.index) == (
        "遊覧船あおば丸の定員は48人である。", 0, 1,
    )  # fmt: skip
    assert (first.passage_id, first.document_id) == (passage().id, passage().document_id)
    assert (first.language, first.prompt, first.request_key) == ("ja", "ja/x@1", "k")
    assert first.id != second.id


@pytest.mark.parametrize(
    "text",
    [
        "事実は次のとおりです。\n\n1. 定員は48人である。\n2. 船体は檜でできている。",
        "１．定員は48人である。\n２．船体は檜でできている。",
        "1) 定員は48人である。\n2) 船体は檜でできている。\n\n以上です。",
        "- 定員は48人である。\n- 船体は檜でできている。",
        "・定員は48人である。\n・船体は檜でできている。",
        "<think>1. 何か。</think>\n1、定員は48人である。\n2、船体は檜でできている。",
        "**1.** 定員は48人である。\n**2.** 船体は檜でできている。",
    ],
)
def test_lists_are_read_in_every_usual_form(text: str) -> None:
    assert listed(text) == (["定員は48人である。", "船体は檜でできている。"], [])


def test_an_item_whose_number_has_no_space_behind_it_is_read() -> None:
    assert listed("1.1987年に建造された。\n2.48人が定員である。\n48.5トンである。") == (
        ["1987年に建造された。", "48人が定員である。"],
        [],
    )


def test_a_line_that_begins_with_a_figure_is_no_item() -> None:
    with pytest.raises(UnusableReplyError):
        listed("48.5トンの船である。\n-5度でも動く。")


def test_what_the_passage_does_not_support_is_dropped_with_what_is_missing() -> None:
    text = "1. 定員は148人である。\n2. 船長の佐伯が宇宙飛行士を案内する。\n3. 船体は檜である。"
    assert listed(text) == (["船体は檜である。"], ["fact_not_supported"] * 2)
    number, words, _ = LISTING.parse(reply(text, ABOUT))
    assert isinstance(number, Dropped)
    assert isinstance(words, Dropped)
    assert "148" in number.evidence
    assert "宇宙飛行士" in words.evidence
    assert (number.kind, number.stage, number.raw) == ("Fact", "synthesis", "定員は148人である。")


def test_a_fact_is_kept_once_however_it_is_written() -> None:
    assert listed("1. 定員は48人である。\n2. 定員は４８人である") == (
        ["定員は48人である。"], ["duplicate_fact"],
    )  # fmt: skip


def test_every_item_that_falls_has_a_place_of_its_own() -> None:
    text = "1. 定員は48人である。\n2. 定員は４８人である\n3. 定員は48人である。\n4. ……\n5. ……"
    records = list(LISTING.parse(reply(text, ABOUT)))
    ids = [r.record_id if isinstance(r, Dropped) else getattr(r, "id", "") for r in records]
    assert len(set(ids)) == len(ids) == 5
    assert records == list(LISTING.parse(reply(text, ABOUT))), "another method lists the same"


@pytest.mark.parametrize(
    ("title", "item", "statements"),
    [
        (
            "遊覧船あおば丸",
            "遊覧船あおば丸の定員は48人である。遊覧船あおば丸は1987年に建造された。",
            ["遊覧船あおば丸の定員は48人である。", "遊覧船あおば丸は1987年に建造された。"],
        ),
        (
            "遊覧船あおば丸",
            "遊覧船あおば丸の定員は48人である。船体は檜でできている。遊覧船あおば丸は1987年に建造された。",
            ["遊覧船あおば丸の定員は48人である。船体は檜でできている。", "遊覧船あおば丸は1987年に建造された。"],
        ),
        (
            "遊覧船あおば丸",
            "定員は48人である。遊覧船あおば丸は1987年に建造された。",
            ["定員は48人である。遊覧船あおば丸は1987年に建造された。"],
        ),
        (
            "遊覧船あおば丸",
            "遊覧船あおば丸の定員は48人である。これは遊覧船あおば丸の建造のときに決まった。",
            ["遊覧船あおば丸の定員は48人である。これは遊覧船あおば丸の建造のときに決まった。"],
        ),
        ("", "定員は48人である。建造は1987年である。", ["定員は48人である。建造は1987年である。"]),
        (
            "Role-Based Access Control (RBAC)",
            "RBAC has roles. An RBAC role has rights. The RBAC team checks them.",
            ["RBAC has roles.", "An RBAC role has rights.", "The RBAC team checks them."],
        ),
        (
            "AI",
            "AI is broad. Maine has AI. A maid came. The AI learns. The AIR is thin. AIs err.",
            [
                "AI is broad. Maine has AI. A maid came.",
                "The AI learns. The AIR is thin. AIs err.",
            ],
        ),
        ("晨光号", "晨光号建于1987年。晨光号有48个座位。", ["晨光号建于1987年。", "晨光号有48个座位。"]),
    ],
)  # fmt: skip
def test_an_item_of_several_sentences_is_taken_apart_where_they_name_their_subject(
    title: str, item: str, statements: list[str]
) -> None:
    unit = passage(f"{item}檜でできている。1987年。48人。", title)
    found = LISTING.parse(reply(f"1. {item}", Subject(unit, LISTING, step="facts")))
    assert [record.statement for record in found if isinstance(record, Fact)] == statements


def test_a_list_that_was_cut_off_loses_its_last_fact_only() -> None:
    text = "1. 定員は48人である。\n2. 船体は檜で"
    found = listed(text, finish_reason="length")
    assert found == (["定員は48人である。"], ["cut_off"])


def test_an_empty_item_is_told_and_prose_is_of_no_use() -> None:
    assert listed("1. ……") == ([], ["empty_fact"])
    with pytest.raises(UnusableReplyError):
        listed("申し訳ありません。")


def test_whoever_asked_goes_on_with_the_facts_that_are_left() -> None:
    seen: list[tuple[Passage, tuple[Fact, ...]]] = []

    def go_on(unit: Passage, facts: tuple[Fact, ...]) -> Iterator[Request | Made]:
        seen.append((unit, facts))
        yield from LISTING.requests(unit)

    request = LISTING.request(passage(), go_on)
    text = "1. 定員は48人である。\n2. 定員は9人である。"
    records = list(LISTING.parse(replace(reply(text, None), request=request)))
    assert [type(record).__name__ for record in records] == ["Fact", "Dropped", "Request"]
    ((unit, facts),) = seen
    assert unit == passage()
    assert facts == (records[0],)
    assert len(list(LISTING.parse(replace(reply("1. 帆は赤い。", None), request=request)))) == 1
    assert len(seen) == 1


def test_two_methods_pay_for_one_list(tmp_path: Path) -> None:
    facts = Facts(LISTING, PROMPTS.load("fact_text"), PROMPTS.load("fact_questions"), "ja", 1, 1, 1)
    reverse = Reverse(LISTING, PROMPTS.load("reverse"), "ja", 1)
    teacher = ScriptedModel(scripted_teacher)
    with RequestCache(tmp_path / "c.sqlite") as cache:
        found = list(
            synthesize([passage()], [facts, reverse, LISTING], CachedModel(teacher, cache))
        )
    stated = [record for record in found if isinstance(record, Fact)]
    assert len(stated) == 3 * len(set(stated))
    # One list, one text, and for each of the five facts a request of either method.
    assert sum(teacher.sent.values()) == 1 + 1 + 5 + 5


def test_a_method_that_goes_on_from_facts_has_a_fixed_fingerprint() -> None:
    first, second = (
        Reverse(
            FactListing(PROMPTS.load("fact_listing"), "ja"),
            PROMPTS.load("reverse"),
            "ja",
            seed=seed,
        )
        for seed in (1, 1)
    )
    assert method_fingerprint(first) == method_fingerprint(second)
    assert method_fingerprint(first) != method_fingerprint(replace(first, seed=2))
    assert "0x" not in repr(first)


ITEMS = ["遊覧船あおば丸の定員は48人である。", "遊覧船あおば丸の定員は４８人である。",
         "遊覧船あおば丸の料金は1,800円である。遊覧船あおば丸は1987年に建造された。",
         "船体は檜でできている。", "船長は佐伯である。", "定員は9人である。", "……"]  # fmt: skip
MARKS = ["1. ", "１．", "2) ", "- ", "・", "**3.** "]


@given(st.lists(st.tuples(st.sampled_from(MARKS), st.sampled_from(ITEMS)), min_size=1))
def test_nothing_of_a_list_vanishes(lines: list[tuple[str, str]]) -> None:
    text = "事実：\n" + "\n".join(mark + item for mark, item in lines)
    records = list(LISTING.parse(reply(text, ABOUT)))
    stated = [r.raw if isinstance(r, Dropped) else getattr(r, "statement", "") for r in records]
    assert "".join(stated) == "".join(item for _, item in lines)
    ids = [r.record_id if isinstance(r, Dropped) else getattr(r, "id", "") for r in records]
    assert len(set(ids)) == len(ids)
    assert [r.index for r in records if isinstance(r, Fact)] == list(
        range(sum(isinstance(r, Fact) for r in records))
    )


LIST = "\n".join(f"{number}. {item}" for number, item in enumerate(ITEMS, 1))


@given(damaged(LIST), st.sampled_from(["stop", "length"]))
def test_no_reply_breaks_the_parser(text: str, finish: str) -> None:
    with contextlib.suppress(UnusableReplyError):
        records = list(LISTING.parse(reply(text, ABOUT, finish_reason=finish)))
        stated = [comparable(r.statement) for r in records if isinstance(r, Fact)]
        assert records
        assert len(set(stated)) == len(stated)
        assert not (finish == "length" and isinstance(records[-1], Fact))


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_worked_example_of_the_prompt_is_what_it_asks_for(language: str) -> None:
    prompt = PromptPack(language).load("fact_listing")
    asked = prompt.messages(passage="", title="")[-1].content
    pattern = r"^(?:文書の名前：|Document name: )(.+)\n(?:文書：|Document: )(.+)\n((?:\d+\. .+\n)+)"
    ((title, document, listed),) = re.findall(pattern, asked, re.MULTILINE)
    method = FactListing(prompt, language)
    about = Subject(passage(document, title), method, step="facts")
    found = list(method.parse(reply(listed, about)))
    assert [type(record) for record in found] == [Fact] * listed.count("\n")
    assert all(title in record.statement for record in found if isinstance(record, Fact))


@given(sentence, sentence)
def test_sentences_of_the_passage_are_facts_in_every_language(one: str, other: str) -> None:
    unit = passage(f"{one}\n{other}", "題")
    found = LISTING.parse(reply(f"1. {one}\n2. {other}", Subject(unit, LISTING, step="facts")))
    reasons = {record.reason for record in found if isinstance(record, Dropped)}
    assert reasons <= {"duplicate_fact"}
