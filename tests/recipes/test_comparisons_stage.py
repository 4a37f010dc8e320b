"""Pairs of answers are compared fairly, and what cannot be compared is named."""

from pathlib import Path
from typing import Any

import pytest

from judged_studies import ARM, PAIRWISE, judged_study, run_judged
from studies import final_files, run_study
from teichaku.backends import scripted
from teichaku.core.errors import RecipeError, StageEmptyError
from teichaku.core.records import Answer, Comparison, Dropped, Question, Reply, Request
from teichaku.recipes.before import check_before
from teichaku.recipes.load import load_recipe

OTHER = "qa@learning_rate=0.0001"


def test_every_pair_is_shown_in_both_orders_as_often_as_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    between = [["base", ARM], [ARM, OTHER], [ARM, "base"]]
    run = run_judged(tmp_path, monkeypatch, pairwise={**PAIRWISE, "between": between, "repeats": 2})
    stage = run.stage("comparisons")
    rows = list(stage.read("comparisons", Comparison))
    arms = {answer.id: answer.arm for answer in stage.read("answers", Answer)}
    asked = {question.id for question in stage.read("questions", Question)}
    shown: dict[tuple[str, str, str], int] = {}
    for row in rows:
        key = (row.question_id, arms[row.first_answer_id], arms[row.second_answer_id])
        shown[key] = shown.get(key, 0) + 1
    assert set(shown.values()) == {2}
    assert len(asked) == 8
    pairs = {frozenset(key[1:]) for key in shown}
    assert pairs == {frozenset(("base", ARM)), frozenset((ARM, OTHER))}
    assert len(shown) == 8 * 2 * 2
    assert len({row.id for row in rows}) == len(rows)
    answers = run.stage("evaluation").read("answers", Answer)
    whole = {a.id: a for a in answers}
    assert all(whole[name].condition == "closed_book" for name in arms)
    report = run.read_json("report/report.json")
    (ratings,) = report["pairwise"]["groups"][0]["ratings"]
    assert {player["arm"] for player in ratings["players"]} == {"base", ARM, OTHER}
    assert ratings["players"][-1]["arm"] == "base"


def test_a_change_of_the_pairs_asks_nothing_else_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = final_files(run_judged(tmp_path, monkeypatch, pairwise=PAIRWISE))
    run = run_judged(tmp_path, monkeypatch, pairwise={**PAIRWISE, "questions": 5})
    after = final_files(run)
    changed = {name.split("/")[0] for name in before if after.get(name) != before[name]}
    assert changed == {"comparisons", "recipe.yaml", "stages.json"}
    assert run.stages()["comparisons"]["counts"]["in"] == 5


def test_an_answer_that_failed_is_left_out_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = scripted.ScriptedStudent

    class Failing(student):  # type: ignore[misc, valid-type]
        """Untuned, it has no answer to the first question that is put to it."""

        def generate(self, requests: Any) -> Any:
            for reply in super().generate(requests):
                is_lost = "あおば丸の定員は？" in reply.request.messages[-1].content
                yield Reply(reply.request, "", error="down") if is_lost else reply

    monkeypatch.setattr(scripted, "ScriptedStudent", Failing)
    run = run_judged(tmp_path, monkeypatch, pairwise={**PAIRWISE, "questions": None})
    counts = run.stages()["comparisons"]["counts"]
    fallen = list(run.stage("comparisons").read("dropped", Dropped))
    assert counts["in"] == counts["out"] + len(fallen)
    assert {(row.reason, row.evidence) for row in fallen} == {
        ("answer_failed", f"base against {ARM}")
    }


def test_nothing_to_compare_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Down(scripted.ScriptedStudent):
        """Untuned, it answers nothing."""

        def generate(self, requests: Any) -> Any:
            return (Reply(r.request, "", error="down") for r in super().generate(requests))

    monkeypatch.setattr(scripted, "ScriptedStudent", Down)
    with pytest.raises(StageEmptyError, match="comparisons has no pair of answers"):
        run_judged(tmp_path, monkeypatch, pairwise=PAIRWISE)


def test_a_judge_that_fails_leaves_pairs_without_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = scripted.scripted_teacher

    def down(request: Request) -> str:
        if "judge_pairwise" in request.prompt:
            raise scripted.ScriptedError("the server is gone")
        return teacher(request)

    monkeypatch.setattr(scripted, "scripted_teacher", down)
    run = run_judged(tmp_path, monkeypatch, pairwise=PAIRWISE)
    rows = list(run.stage("comparisons").read("comparisons", Comparison))
    assert {row.error.partition(":")[0] for row in rows} == {"request_failed"}
    monkeypatch.setattr(scripted, "scripted_teacher", teacher)
    again = run_study(tmp_path / "recipe.yaml")
    rows = list(again.stage("comparisons").read("comparisons", Comparison))
    assert not any(row.error for row in rows), "what failed is asked again the next time"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"between": [["base", "qa"]]},
            f"names qa, which is no arm and no model.\n    Known: base, {ARM}",
        ),
        ({"between": [[ARM, ARM]]}, "against itself"),
        ({**PAIRWISE, "controls": ["mt_bench_ja"]}, "mt_bench_ja, which is not among the controls"),
    ],
)
def test_pairs_that_cannot_be_are_refused_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], told: str
) -> None:
    recipe = judged_study(tmp_path, monkeypatch, {"pairwise": settings})
    with pytest.raises(RecipeError) as raised:
        check_before(load_recipe(recipe), tmp_path)
    assert told in str(raised.value)


def test_right_or_wrong_answers_need_no_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {
        "pairwise": {**PAIRWISE, "controls": ["jcommonsenseqa"]},
        "controls": ["jcommonsenseqa"],
    }
    with pytest.raises(RecipeError, match="right or wrong"):
        check_before(load_recipe(judged_study(tmp_path, monkeypatch, settings)), tmp_path)
    open_book = {"pairwise": PAIRWISE, "conditions": ["open_book"]}
    with pytest.raises(RecipeError, match="leaves these out"):
        check_before(load_recipe(judged_study(tmp_path, monkeypatch, open_book)), tmp_path)


def test_answers_to_a_benchmark_of_conversations_are_compared_turn_by_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_judged(
        tmp_path,
        monkeypatch,
        controls=[{"name": "mt_bench_ja", "items": 6}],
        pairwise={**PAIRWISE, "controls": ["mt_bench_ja"], "questions": 2},
        judges={"first": {"backend": "scripted", "model": "first"}},
    )
    stage = run.stage("comparisons")
    asked = list(stage.read("questions", Question))
    assert {question.benchmark for question in asked} == {"mt_bench_ja"}
    assert len({question.document_id for question in asked}) == 2
    rows = list(stage.read("comparisons", Comparison))
    assert len(rows) == len(asked) * 2 * 2
    assert not any(row.error for row in rows)
    report = run.read_json("report/report.json")
    assert report["pairwise"]["groups"][0]["benchmarks"] == ["mt_bench_ja"]
    judged = [row for row in report["judges"]["judges"] if row["of"]]
    assert {row["name"] for row in judged} == {"", "first"}
    prompts = {"absolute": "ja/judge_turn", "pairwise": "ja/judge_pairwise"}
    assert {row["kind"] for row in judged} == set(prompts)
    assert all(row["of"].startswith(prompts[row["kind"]]) and not row["failed"] for row in judged)
    assert [one["of"].partition("@")[0] for one in report["judges"]["agreement"]] == [
        "",
        "ja/judge_turn",
    ]
