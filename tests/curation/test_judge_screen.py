"""One score an example: expected where probabilities are given, null where it failed."""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import log

import pytest

from made import example, passage
from teichaku.backends.scripted import ScriptedError, ScriptedModel
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Dropped, Example, Request
from teichaku.curation.judge_screen import JudgeScreen, JudgeScreening

BOAT, SKIFF = passage(), passage("名称：小舟\n定員：5人", "小舟")
PASSAGES = {p.id: p for p in (BOAT, SKIFF)}
ASKED = example("遊覧船あおば丸の定員は？", "48人", BOAT, id="1")
PACK = PromptPack("ja")


def says(score: object, reason: str = "理由") -> str:
    return json.dumps({"score": score, "reason": reason}, ensure_ascii=False)


def unsure(*shares: tuple[str, float]) -> "Sequence[Mapping[str, float]]":
    return [{'{"score": ': 0.0}, {token: log(share) for token, share in shares}, {",": 0.0}]


def screened(
    judge: ScriptedModel, *examples: Example, again: bool = False, expects: bool = True
) -> tuple[dict[str, str], dict[str, JudgeScreening]]:
    """Reason and evidence of what fell by id, empty for what stays; and what was noted."""
    noted: list[JudgeScreening] = []
    screen = JudgeScreen(
        PASSAGES, judge, PACK.load("judge_screen"), expects=expects,
        again=PACK.load("ask_again") if again else None, note=noted.append,
    )  # fmt: skip
    found = list(screen(examples))
    told = {
        r.record_id if isinstance(r, Dropped) else r.id: f"{r.reason}: {r.evidence}"
        if isinstance(r, Dropped)
        else ""
        for r in found
    }
    assert len(found) == len(examples)
    return told, {screening.example_id: screening for screening in noted}


@pytest.mark.parametrize(
    ("shares", "expected", "falls"),
    [
        ((("4", 0.5), ("5", 0.5)), 4.5, False),
        ((("4", 0.5), ("3", 0.25), ("2", 0.25)), 3.25, True),
        ((("4", 0.6), (" 4", 0.1), ("４", 0.1), ("1", 0.2)), 3.4, True),
    ],
)
def test_what_counts_is_the_score_that_the_judge_expects(
    shares: tuple[tuple[str, float], ...], expected: float, falls: bool
) -> None:
    judge = ScriptedModel(lambda request: says(4), tokens=lambda text: unsure(*shares))
    told, noted = screened(judge, ASKED)
    assert noted["1"].score == 4
    assert noted["1"].expected == pytest.approx(expected)
    assert noted["1"].value == noted["1"].expected
    assert bool(told["1"]) == falls
    assert not falls or told["1"] == f"low_score: {expected:.2f} of 5: 理由"


@pytest.mark.parametrize(
    ("tokens", "why"),
    [
        ([], "no log-probabilities given"),
        ([{"x": 0.0}], "not among the first 1 tokens"),
        (unsure(("4", 0.2), ("か", 0.8)), "only 20% of the probability"),
    ],
)
def test_without_probabilities_the_written_score_counts_and_the_reason_is_kept(
    tokens: list[Mapping[str, float]], why: str
) -> None:
    told, noted = screened(
        ScriptedModel(lambda request: says(4), tokens=lambda text: tokens), ASKED
    )
    assert told == {"1": ""}
    assert (noted["1"].score, noted["1"].expected, noted["1"].value) == (4, None, 4)
    assert why in noted["1"].without_expected


def test_probabilities_are_asked_for_only_where_they_are_wanted() -> None:
    asked: list[int] = []

    def script(request: Request) -> str:
        asked.append(request.top_log_probabilities)
        return says(5)

    screened(ScriptedModel(script), ASKED)
    _, noted = screened(ScriptedModel(script), ASKED, expects=False)
    assert asked == [20, 0]
    assert (noted["1"].expected, noted["1"].without_expected) == (None, "not asked for")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [(says(6), "judge_failed"), (says(0), "judge_failed"), (says("良い"), "judge_failed"),
     ("よい教材です。", "judge_failed"), (None, "request_failed")],
)  # fmt: skip
def test_a_score_that_failed_is_null_never_a_default(reply: str | None, reason: str) -> None:
    def script(request: Request) -> str:
        if reply is None:
            raise ScriptedError("down")
        return reply

    judge = ScriptedModel(script)
    told, noted = screened(judge, ASKED, again=True)
    assert told["1"].startswith(f"{reason}: ")
    assert (noted["1"].score, noted["1"].expected, noted["1"].value) == (None, None, None)
    assert noted["1"].error.startswith(reason)
    assert noted["1"].raw == (reply or "")
    assert sum(judge.sent.values()) == (2 if reply else 1), "a reply without a score is asked again"


def test_each_example_is_asked_alone_with_its_passage_and_known_by_its_id() -> None:
    asked: list[str] = []

    def script(request: Request) -> str:
        asked.append(request.messages[-1].content)
        return says(2 if "5人" in asked[-1].rpartition("答え：")[2] else 5)

    examples = [
        example("小舟の定員は？", "5人", SKIFF, id="3"),
        ASKED,
        example("", "あおば丸は檜の遊覧船で、定員は48人である。", BOAT, id="2"),
    ]
    told, noted = screened(ScriptedModel(script), *examples)
    assert {name for name, why in told.items() if why} == {"3"}
    assert noted.keys() == {"1", "2", "3"}
    assert noted["3"].request_key == ""
    for content in asked:
        about = content.rpartition("では、次の教材")[2]
        assert ("船体は檜" in about) != ("名称：小舟" in about)
        assert about.count("答え：") + about.count("文章：") == 1


def test_examples_about_one_passage_follow_one_another_whatever_the_order() -> None:
    asked: list[str] = []

    def script(request: Request) -> str:
        asked.append(request.subject.passage_id)
        return says(5)

    mixed = [example(f"{n}番の定員は？", "48人", (BOAT, SKIFF)[n % 2], id=str(n)) for n in range(6)]
    screened(ScriptedModel(script), *mixed)
    assert len([a for a, b in pairwise(asked) if a != b]) == 1


def test_an_instruction_without_a_passage_passes_unjudged() -> None:
    judge = ScriptedModel(lambda request: says(1))
    told, noted = screened(judge, example("俳句を詠んで。", "古池や", passage_id="", id="9"))
    assert (told, noted, sum(judge.sent.values())) == ({"9": ""}, {}, 0)
