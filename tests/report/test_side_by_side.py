"""Answers side by side: what is shown, of whom, and what retrieval found for it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages import texts
from made import question as made_question
from report_run import Plan, gain, run_description, write_run
from teichaku.core.records import Answer, Judgement, Question, Retrieved, Score
from teichaku.core.run_folder import RunFolder
from teichaku.report.build import build_report
from teichaku.report.side_by_side import SAMPLED, SHOWN, fair_order

CONDITIONS = ("closed_book", "open_book", "retrieval")


def value(arm: str, checkpoint: str, condition: str, question: Question) -> float | None:
    """As :func:`gain`; retrieval is as the open book."""
    return gain(
        arm, checkpoint, "closed_book" if condition == "closed_book" else "open_book", question
    )


def with_further(run: RunFolder, name: str, plan: Plan) -> RunFolder:
    """``run`` of ``plan`` as one where ``name`` was a further model, and not trained."""
    described = run_description(plan)
    arms = [arm for arm in described["arms"] if arm["name"] != name]
    run.write_json("run.json", {**described, "arms": arms, "further_models": [name]})
    folder = run.stage("evaluation")
    kinds: dict[str, type[Any]] = {"answers": Answer, "scores": Score}
    for file, kind in kinds.items():
        rows = list(folder.read(file, kind))
        own = [replace(row, checkpoint="base") if row.arm == name else row for row in rows]
        folder.write(file, kind, own)
    listed = run.read_json("stages.json")
    del listed[f"training/{name}"]
    run.write_json("stages.json", listed)
    return run


def with_retrieved(run: RunFolder, uses: dict[str, str]) -> RunFolder:
    """``run`` with a search: ``uses`` by passage, in the order of their ranks, for every question."""
    questions = run.stage("questions").read("questions", Question)
    rows = [
        Retrieved(q.id, passage, rank, 1 / rank, 1.0, rank, None, None, use)  # type: ignore[arg-type]
        for q in questions
        for rank, (passage, use) in enumerate(uses.items(), 1)
    ]
    folder = run.stage("retrieval")
    folder.write("retrieved", Retrieved, rows)
    counts = {"in": 1, "out": 1, "dropped": 0, "reasons": {}}
    folder.finish("made-from", {"stage": "retrieval", "position": 5, "counts": counts})
    run.add_stage("retrieval", "made-from")
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    plan = Plan(value, conditions=CONDITIONS, kinds=["trained", "held_out", "unseen"], documents=8)
    return with_retrieved(
        write_run(tmp_path_factory.mktemp("run") / "drinks", plan),
        {"p1": "shown", "p0": "cut", "p2": "below"},
    )


@pytest.fixture(scope="module")
def shown(run: RunFolder) -> dict[str, Any]:
    found: dict[str, Any] = build_report(run, "ja")["side_by_side"]
    return found


def page_of(run: RunFolder) -> str:
    return (run.path / "report" / "index.html").read_text(encoding="utf-8")


def test_means_have_a_row_a_model_and_a_cell_a_condition(shown: dict[str, Any]) -> None:
    assert shown["conditions"] == list(CONDITIONS)
    roles = [(row["arm"], row["role"]) for row in shown["means"]]
    assert roles == [("base", "base"), ("qa@learning_rate=0.001", "tuned")]
    for row, expected in zip(shown["means"], (0.0, 1.0), strict=True):
        assert set(row["cells"]) == set(CONDITIONS)
        assert row["cells"]["closed_book"]["value"] == expected
        assert row["cells"]["retrieval"]["value"] == 0.5
        for cell in row["cells"].values():
            assert (cell["n"], cell["documents"]) == (48, 8)
            assert cell["low"] <= cell["value"] <= cell["high"]


def test_the_groups_share_no_question_and_the_sample_has_all_kinds(shown: dict[str, Any]) -> None:
    groups = {
        name: [one["question_id"] for one in shown[name]] for name in ("good", "bad", "sample")
    }
    assert [len(ids) for ids in groups.values()] == [SHOWN, 0, SAMPLED]
    together = [one for ids in groups.values() for one in ids]
    assert len(set(together)) == len(together) <= 20
    kinds = [one["question_kind"] for one in shown["sample"]]
    assert {kind: kinds.count(kind) for kind in kinds} == dict.fromkeys(
        ("trained", "held_out", "unseen"), SAMPLED // 3
    )


def test_every_model_answers_under_every_condition(shown: dict[str, Any]) -> None:
    for one in (*shown["good"], *shown["sample"]):
        told = [(answer["condition"], answer["role"]) for answer in one["answers"]]
        assert told == [(c, role) for c in CONDITIONS for role in ("base", "tuned")]


def test_what_retrieval_found_stands_beside_the_question(shown: dict[str, Any]) -> None:
    for one in (*shown["good"], *shown["sample"]):
        found = one["retrieved"]
        assert [(p["rank"], p["use"]) for p in found["passages"]] == [(1, "shown"), (2, "cut")]
        right = {"p1": 1, "p0": 2, "p2": 3}.get(f"p{one['question_id'][1]}")
        assert found["right_rank"] == right
        assert [p["is_right"] for p in found["passages"]] == [right == 1, right == 2]


def test_the_page_says_whether_the_right_passage_was_found(run: RunFolder) -> None:
    build_report(run, "en")
    page = page_of(run)
    assert "The right passage is not among the 3 found." in page
    assert "The right passage came at rank 1." in page
    assert "(no room)" in page
    assert page.count('<details class="example ') == SHOWN + SAMPLED


def test_a_judge_that_marks_several_times_is_one_entry_with_its_median(tmp_path: Path) -> None:
    run = write_run(tmp_path / "drinks", Plan(gain))
    folder = run.stage("evaluation")
    given: list[tuple[str, float | None]] = [
        ("scripted:writer-1b", 8.0), ("scripted:writer-1b", None), ("scripted:writer-1b", 2.0),
        ("scripted:writer-1b", 5.0), ("another", None), ("another", None),
    ]  # fmt: skip
    repeats = [
        replace(row, id=f"{row.id}/{n}", judge=judge, score=score, explanation=f"{score} 点",
                error="" if score else f"timed out {n}")
        for row in folder.read("judgements", Judgement)
        for n, (judge, score) in enumerate(given)
    ]  # fmt: skip
    folder.write("judgements", Judgement, repeats)
    shown = build_report(run, "ja")["side_by_side"]
    judged = [
        a["judges"] for group in ("good", "sample") for q in shown[group] for a in q["answers"]
    ]
    assert judged
    for entries in judged:
        told = {one["judge"]: (one["score"], one["explanation"], one["error"]) for one in entries}
        assert len(entries) == len(told) == 2
        assert told["scripted:writer-1b"] == (5.0, "5.0 点", "")
        assert told["another"] == (None, "None 点", "timed out 4")


def test_a_further_model_is_a_row_and_an_answer_and_never_the_base_or_an_arm(
    tmp_path: Path,
) -> None:
    def as_it_is(arm: str, checkpoint: str, condition: str, one: Question) -> float | None:
        return 1.0 if arm == "api" else value(arm, checkpoint, condition, one)

    arms = [("qa", 0.001), ("api", 0.1)]
    plan = Plan(as_it_is, conditions=CONDITIONS, arms=arms, epochs=1)
    run = with_further(write_run(tmp_path / "drinks", plan), "api", plan)
    report = build_report(run, "en")
    headline = report["headline"]
    assert (headline["base_arm"], headline["best_arm"]) == ("base", "qa")
    assert {row["arm"] for row in report["progress"]} == {"qa"}
    shown = report["side_by_side"]
    told = [(row["arm"], row["role"], row["cells"]["retrieval"]["value"]) for row in shown["means"]]
    assert told == [("base", "base", 0.5), ("qa", "tuned", 0.5), ("api", "further", 1.0)]
    for one in (*shown["good"], *shown["sample"]):
        roles = [answer["role"] for answer in one["answers"]]
        assert roles == ["base", "tuned", "further"] * 3
    # Beside the base, under a name of its own.
    specs = page_of(run).partition('id="chart-specs">')[2].partition("</script>")[0]
    named = {
        row["arm"]
        for name, spec in json.loads(specs).items()
        if name.startswith("wording")
        for layer in spec["layer"]
        for row in (layer.get("data") or spec["data"])["values"]
    }
    assert named == {"Base", "qa", "api"}
    without = {**run.read_json("run.json"), "base_arms": None}
    run.write_json("run.json", without)
    assert build_report(run, "en")["headline"]["base_arm"] == "base"


@given(st.lists(texts, unique=True, max_size=30), st.integers(0, 30))
def test_the_order_is_fair_and_goes_by_what_is_asked(asked: list[str], first: int) -> None:
    kinds = ("trained", "held_out", "unseen")
    questions = [
        made_question(text, "答え", id=text, kind=kinds[place % 3])
        for place, text in enumerate(asked)
    ]
    order = fair_order(questions)
    assert order == fair_order(reversed(questions))
    assert sorted(one.id for one in order) == sorted(asked)
    counts = [[str(one.kind) for one in order[:first]].count(kind) for kind in kinds]
    there = [[str(one.kind) for one in questions].count(kind) for kind in kinds]
    for count, whole in zip(counts, there, strict=True):
        assert count >= min(whole, max(counts) - 1)


@pytest.mark.parametrize(("reached", "is_bad"), [(0.85, False), (0.7, True)])
def test_right_is_what_the_signals_take_for_right(
    tmp_path: Path, reached: float, is_bad: bool
) -> None:
    def nearly(arm: str, checkpoint: str, condition: str, question: Question) -> float | None:
        return 0.0 if checkpoint == "base" else reached

    run = write_run(tmp_path / "run", Plan(nearly, judged=False, scorer="character_f1"))
    assert bool(build_report(run, "ja")["side_by_side"]["bad"]) == is_bad
