"""The pairwise judge sees every pair both ways round."""

from dataclasses import replace
from pathlib import Path

import pytest

from made import question
from teichaku.backends.scripted import ScriptedError, ScriptedModel
from teichaku.core.errors import UserError
from teichaku.core.prompts import PromptPack, parse_prompt
from teichaku.core.records import Answer, Comparison, Request, Sampling
from teichaku.core.run_folder import read_records, write_records
from teichaku.evaluation.judging.exchanges import Exchange, Pair, pair_up
from teichaku.evaluation.judging.pairwise import PairwiseJudge
from teichaku.evaluation.judging.verdicts import verdicts

PROMPTS = PromptPack("ja")


def exchange(arm: str, text: str, of: str = "q", error: str = "", reference: str = "") -> Exchange:
    asked = question(f"{of}について", reference, id=of, kind="control", passage_id="")
    return Exchange(asked, Answer(f"{arm}-{of}", of, arm, "base", "closed_book", text, error=error))


def judge(**changes: object) -> PairwiseJudge:
    return PairwiseJudge(PROMPTS.load("judge_pairwise"), "j", **changes)  # type: ignore[arg-type]


def prefers(text: str) -> ScriptedModel:
    """A judge for whom the answer ``text`` is better, wherever it stands."""

    def script(request: Request) -> str:
        asked = request.messages[-1].content
        better = "A" if asked.index(text) < asked.rindex("の回答（ここから）") else "B"
        return f'{{"comparison": "{text}", "better": "{better}"}}'

    return ScriptedModel(script)


PAIR = Pair(exchange("base", "短い答え"), exchange("tuned", "正しい答え"))


def test_a_pair_is_shown_in_both_orders() -> None:
    first, second = (r.messages[-1].content for r in judge().requests([PAIR]))
    assert first.index("短い答え") < first.index("正しい答え")
    assert second.index("正しい答え") < second.index("短い答え")


def test_a_judge_that_goes_by_the_answer_prefers_it_in_both_places() -> None:
    rows = list(judge().compare([PAIR], prefers("正しい答え")))
    assert [(r.first_answer_id, r.winner) for r in rows] == [
        ("base-q", "second"),
        ("tuned-q", "first"),
    ]
    (verdict,) = verdicts(rows)
    assert (verdict.winner, verdict.is_consistent) == ("tuned-q", True)


def test_a_judge_that_goes_by_the_place_gives_a_tie_and_a_flip() -> None:
    model = ScriptedModel(lambda request: '{"comparison": "", "better": "B"}')
    (verdict,) = verdicts(judge().compare([PAIR], model))
    assert (verdict.winner, verdict.flip) == ("tie", "second")


def test_what_fails_is_null_with_its_reason() -> None:
    def script(request: Request) -> str:
        if request.subject.first.answer.arm == "base":
            raise ScriptedError("503")
        return "どちらも良い。"

    rows = list(judge(again=PROMPTS.load("ask_again")).compare([PAIR], ScriptedModel(script)))
    assert {(r.first_answer_id, r.winner, r.error.partition(":")[0]) for r in rows} == {
        ("base-q", None, "request_failed"),
        ("tuned-q", None, "unparseable_reply"),
    }


def test_a_reply_cut_off_and_an_empty_one_are_other_failures() -> None:
    model = ScriptedModel(lambda request: "" if request.sample_index else "とても")
    rows = list(judge(orders=1, repeats=2).compare([PAIR], model))
    assert [r.error.partition(":")[0] for r in rows] == ["unparseable_reply", "empty_reply"]


def test_comparisons_survive_a_file(tmp_path: Path) -> None:
    rows = list(judge(repeats=2).compare([PAIR], prefers("正しい答え")))
    rows += judge(orders=1).compare([PAIR], ScriptedModel(lambda request: "?"))
    write_records(tmp_path / "comparisons.parquet", Comparison, rows)
    assert list(read_records(tmp_path / "comparisons.parquet", Comparison)) == rows
    assert len({row.id for row in rows}) == len(rows) == 5


def test_repeats_draw_again() -> None:
    protocol = judge(repeats=3, sampling=Sampling(temperature=1.0))
    assert [r.sample_index for r in protocol.requests([PAIR])] == [0, 1, 2, 0, 1, 2]


def test_failed_and_missing_answers_are_left_out_by_name() -> None:
    pairs, left_out = pair_up(
        [exchange("base", "甲"), exchange("base", "", "r", "down"), exchange("base", "丙", "s")],
        [exchange("tuned", "乙"), exchange("tuned", "丁", "r"), exchange("tuned", "戊", "t")],
    )
    assert [pair.question.id for pair in pairs] == ["q"]
    assert left_out == {"r": "answer_failed", "s": "not_answered", "t": "not_answered"}
    with pytest.raises(ValueError, match="two answers"):
        pair_up([exchange("base", "甲"), exchange("base", "乙")], [])
    with pytest.raises(ValueError, match="with itself"):
        Pair(PAIR.one, PAIR.one)
    with pytest.raises(ValueError, match="different questions"):
        Pair(exchange("base", "甲"), exchange("tuned", "乙", "r"))


def test_the_reference_is_shown_unless_the_protocol_says_no() -> None:
    pair = Pair(
        exchange("base", "甲", reference="正解は乙"), exchange("tuned", "乙", reference="正解は乙")
    )
    assert "正解は乙" in judge().requests([pair])[0].messages[-1].content
    without = judge(reference_for=frozenset())
    assert "正解は乙" not in without.requests([pair])[0].messages[-1].content
    assert (judge().protocol.reference, without.protocol.reference) == ("all", "none")


def test_a_prompt_of_the_users_own_decides_and_is_in_the_protocol() -> None:
    source = "version: 3\n[user]\n{{ question }}\n甲：{{ answer_a }}\n乙：{{ answer_b }}\n"
    own = PairwiseJudge(parse_prompt(source, "ja/judge_pairwise"), "j")
    assert own.requests([PAIR])[0].messages[-1].content == "qについて\n甲：短い答え\n乙：正しい答え"
    assert own.protocol.reference == "none", "it shows none"
    assert own.protocol.fingerprint != judge().protocol.fingerprint
    two_turns = Exchange(PAIR.one.question, PAIR.one.answer, before=PAIR.one)
    with pytest.raises(UserError, match="shows one turn"):
        own.requests([Pair(two_turns, PAIR.other)])


@pytest.mark.parametrize("language", ["ja", "en"])
def test_criteria_of_the_set_are_shown_where_it_has_them(language: str) -> None:
    judging = PairwiseJudge(PromptPack(language).load("judge_pairwise"), "j", orders=1)
    with_criteria = Pair(replace(PAIR.one, criteria="三つ挙げていなければ減点\n"), PAIR.other)
    (shown,), (plain,) = (judging.requests([pair]) for pair in (with_criteria, PAIR))
    text = shown.messages[-1].content
    heading = {"ja": "採点の観点：\n", "en": "Criteria:\n"}[language]
    assert f"{heading}三つ挙げていなければ減点\n\n" in text
    assert heading not in plain.messages[-1].content


@pytest.mark.parametrize("language", ["ja", "en"])
def test_both_turns_of_both_answers_are_shown(language: str) -> None:
    def second(arm: str, text: str) -> Exchange:
        before = exchange(arm, f"{text}の一回目", "p")
        return Exchange(before.question, exchange(arm, text, "p").answer, before=before)

    prompt = PromptPack(language).load("judge_pairwise")
    (shown,) = PairwiseJudge(prompt, "j", orders=1).requests(
        [Pair(second("x", "甲甲"), second("y", "乙乙"))]
    )
    text = shown.messages[-1].content
    places = [text.index(f"{part}\n") for part in ("甲甲の一回目", "甲甲", "乙乙の一回目", "乙乙")]
    assert places == sorted(places)


def test_only_one_or_two_orders_can_be_asked() -> None:
    with pytest.raises(ValueError, match="orders is 3"):
        judge(orders=3)
    with pytest.raises(ValueError, match="repeats is 0"):
        judge(repeats=0)
