"""S2's spreading of seeds over domains."""

import contextlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from instructions import domain_spread, human_seeds, instruction
from languages import texts
from made import reply
from teichaku.backends.scripted import ScriptedModel, scripted_teacher
from teichaku.core.records import Dropped, Example
from teichaku.core.replies import json_objects
from teichaku.recipes.seed_methods import read_domains
from teichaku.synthesis.domain_spread import Domain
from teichaku.synthesis.method import Subject, UnusableReplyError

METHOD = domain_spread()
SEED = instruction(
    "次の文を短く書き直してください。", "短い文。", input="長い文。", category="要約"
)


@pytest.mark.parametrize("language", ["ja", "en"])
def test_about_forty_domains_ship(language: str) -> None:
    domains = read_domains(language, Path())
    assert 38 <= len(domains) <= 45
    assert len({domain.name for domain in domains}) == len(domains)
    assert all(domain.description for domain in domains)


def test_each_seed_meets_so_many_domains_drawn_by_seed() -> None:
    method = domain_spread(per_seed=8)
    drawn = {seed.id: method.drawn(seed) for seed in human_seeds()}
    assert all(len(set(domains)) == 8 for domains in drawn.values())
    assert len({tuple(domains) for domains in drawn.values()}) == len(drawn)
    assert drawn == {seed.id: domain_spread(per_seed=8).drawn(seed) for seed in human_seeds()}
    assert drawn != {s.id: domain_spread(per_seed=8, seed=1).drawn(s) for s in human_seeds()}
    counts = Counter(d.name for n in range(500) for d in method.drawn(instruction(f"問い{n}")))
    assert len(counts) == len(METHOD.domains)


def test_all_domains_where_no_number_is_given() -> None:
    told: list[int] = []
    teacher = ScriptedModel(scripted_teacher)
    few = [Domain("園芸", "庭"), Domain("鉄道", "駅")]
    method = domain_spread(domains=few, per_seed=None)
    found = list(method.run(human_seeds(), [], teacher, None, told.append))
    assert sum(told) == sum(teacher.sent.values()) == 2 * len(human_seeds())
    assert {e.style for e in found if isinstance(e, Example)} == {"園芸", "鉄道"}


def test_the_request_shows_seed_and_domain_and_the_domain_comes_last() -> None:
    first, second = list(domain_spread(per_seed=2).requests(SEED))
    text = first.messages[-1].content
    assert all(part in text for part in (SEED.question, SEED.input, SEED.answer))
    domain = first.subject.style
    assert text.index(domain) > text.index(SEED.answer)
    before = text[: text.index(domain)]
    assert second.messages[-1].content.startswith(before)


def spread(**parts: Any) -> list[Any]:
    subject = Subject(SEED, METHOD, style="園芸")
    return list(METHOD.parse(reply(json.dumps(parts, ensure_ascii=False), subject)))


def test_the_instruction_keeps_its_origin() -> None:
    (example,) = spread(
        instruction="苗の札の注意書きを短くしてください。",
        input="日なたに置かないと花が減ります。",
        output="日なたへ。",
    )
    assert (example.method, example.style, example.category) == ("domain_spread", "園芸", "要約")
    assert example.parent_ids == (SEED.id,)
    assert example.input == "日なたに置かないと花が減ります。"


def test_the_seed_again_falls_but_its_instruction_with_another_input_stays() -> None:
    (same,) = spread(
        instruction="次の文を、短く書き直して下さい。", input="長い文。", output="短文。"
    )
    assert isinstance(same, Dropped)
    assert same.reason == "too_similar"
    (other,) = spread(
        instruction=SEED.question,
        input="この球根は水はけのよい土に深さ十センチで植えるのがよいと言われております。",
        output="球根は深さ十センチに。",
    )
    assert isinstance(other, Example)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        (
            {"instruction": "苗の選び方を教えてください。", "input": "", "output": "次のとおり："},
            "ends_with_colon",
        ),
        (
            {"instruction": "苗の札を読んでください。", "input": "日なた", "output": "日なた"},
            "input_is_output",
        ),
        (
            {"instruction": "Explain how to plant bulbs.", "input": "", "output": "Dig."},
            "wrong_language",
        ),
    ],
)
def test_what_cannot_be_used_is_told(parts: dict[str, str], reason: str) -> None:
    (record,) = spread(**parts)
    assert isinstance(record, Dropped)
    assert record.reason == reason


def test_the_worked_example_of_the_prompt_falls() -> None:
    (section,) = (text for role, text in METHOD.prompt.sections if role == "user")
    (shown,) = json_objects(section)
    (record,) = spread(**shown)
    assert isinstance(record, Dropped)
    assert record.reason == "copies_the_prompt"


def test_a_translation_into_the_language_may_have_a_foreign_input() -> None:
    method = domain_spread("en")
    subject = Subject(instruction("Name a tree.", "Oak."), method, style="gardening")
    parts = {
        "instruction": "Translate into English.",
        "input": "球根を植える",
        "output": "Plant bulbs.",
    }
    (record,) = method.parse(reply(json.dumps(parts), subject))
    assert isinstance(record, Example)


def test_a_reply_without_instruction_or_output_is_of_no_use() -> None:
    for parts in (
        {"instruction": "植えてください。"},
        {"instruction": "植えてください。", "output": ""},
    ):
        with pytest.raises(UnusableReplyError):
            spread(**parts)


@settings(deadline=None)
@given(texts)
def test_no_reply_breaks_the_parser(text: str) -> None:
    with contextlib.suppress(UnusableReplyError):
        assert list(METHOD.parse(reply(text, Subject(SEED, METHOD, style="園芸"))))


def test_of_many_seeds_so_many_as_the_limit_are_drawn_by_seed() -> None:
    def spread_over(seed: int, seeds: list[Example]) -> set[str]:
        method = domain_spread(per_seed=1, limit=3, seed=seed)
        found = method.run(seeds, [], ScriptedModel(scripted_teacher))
        return {parent for e in found if isinstance(e, Example) for parent in e.parent_ids}

    assert len(spread_over(0, human_seeds())) == 3
    assert spread_over(0, human_seeds()) == spread_over(0, human_seeds()[::-1])
    assert spread_over(0, human_seeds()) != spread_over(1, human_seeds())
