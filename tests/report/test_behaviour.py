"""How the models behave beside what they know: false answers, signals and health in the report."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from report_run import Plan, gain, write_run
from teichaku.core.records import Answer, Judgement, Question, Score
from teichaku.core.run_folder import RunFolder
from teichaku.evaluation.abstention import ABSTAINS
from teichaku.evaluation.signals import MEAN, SHORTNESS, AnswerSignal
from teichaku.evaluation.unanswerable import Swap
from teichaku.report.build import build_report

ARM = "qa@learning_rate=0.001"
MODELS = (("base", "base"), (ARM, "epoch-2"))
UNKNOWN = "分かりません。"
Says = Callable[[str, Question], str]


def finish(run: RunFolder, name: str, taken: int, given: int, **reasons: int) -> None:
    counts = {"in": taken, "out": given, "dropped": taken - given, "reasons": reasons}
    run.write_json(f"{name}/timing.json", {"seconds": 1.0})
    run.stage(name).finish("made-from", {"stage": name, "position": 9, "counts": counts})
    run.add_stage(name, "made-from")


def with_unanswerable(run: RunFolder, says: Says, marks: Sequence[float] = ()) -> RunFolder:
    """``run`` whose models were asked one such question about each document."""
    sources = [q for q in run.stage("questions").read("questions", Question) if q.kind == "trained"]
    made, swaps, answers = [], [], []
    for source in sources[::2]:
        question = replace(source, id=f"u-{source.id}", kind="unanswerable", reference="")
        made.append(question)
        swaps.append(Swap(question.id, source.id, "柚子茶", "麦茶", "d9", 0.0))
        answers += [
            Answer(
                f"{question.id}/{arm}", question.id, arm, checkpoint, "closed_book",
                says(arm, source),
            )
            for arm, checkpoint in MODELS
        ]  # fmt: skip
    stage = run.stage("unanswerable")
    stage.write("questions", Question, made)
    stage.write("swaps", Swap, swaps)
    stage.write("answers", Answer, answers)
    judged = [
        Judgement(f"j-{answer.id}", answer.id, "scripted:judge", ABSTAINS.name, mark, "")
        for answer, mark in zip(answers, marks, strict=False)
    ]
    stage.write("judgements", Judgement, judged)
    finish(run, "unanswerable", len(sources), len(made), no_name=len(sources) - len(made))
    return run


def base_abstains(arm: str, source: Question) -> str:
    """The base says that it is not known; the arm gives the answer about the other name."""
    return UNKNOWN if arm == "base" else f"{source.reference}です。"


def rates(report: dict[str, Any], by: str = "rules") -> dict[str, dict[str, Any]]:
    return {row["arm"]: row for row in report["hallucination"]["rates"] if row["by"] == by}


def page_of(run: RunFolder) -> str:
    return (run.path / "report" / "index.html").read_text("utf-8")


def test_what_training_did_to_false_answers_is_shown(tmp_path: Path) -> None:
    run = with_unanswerable(write_run(tmp_path / "run", Plan(gain)), base_abstains)
    found = rates(report := build_report(run, "ja"))
    assert found["base"]["abstention"]["value"] == 1.0
    assert found["base"]["from_source"] is None
    assert found["base"]["over_abstention"]["value"] == 1.0
    assert found[ARM]["false_answers"]["value"] == found[ARM]["from_source"]["value"] == 1.0
    assert found[ARM]["over_abstention"]["value"] == 0.0
    # Six of six are no proof of all.
    assert found[ARM]["false_answers"]["low"] < 0.8
    (change,) = report["hallucination"]["changes"]
    assert change["unanswerable"]["value"] == change["answerable"]["value"] == -1.0
    assert report["hallucination"]["reasons"] == {"no_name": 6}
    assert report["hallucination"]["agreement"] is None
    page = page_of(run)
    assert '<section id="hallucination">' in page
    assert 'href="#hallucination"' in page
    assert "文書の題名を含まない" in page
    # The change is told with the number of questions that it is of.
    assert change["unanswerable"]["n"] == 6
    shown = page.partition('<section id="hallucination">')[2].partition("</table>")[0]
    assert shown.rpartition("−100ポイント</span>")[2].count("6 件中") == 1


def test_the_judge_stands_beside_the_rules_with_kappa(tmp_path: Path) -> None:
    # The judge takes one answer of the arm for an abstention.
    marks = [1.0, 0.0] * 5 + [1.0, 1.0]
    run = with_unanswerable(write_run(tmp_path / "run", Plan(gain)), base_abstains, marks)
    report = build_report(run, "en")
    agreement = report["hallucination"]["agreement"]
    assert (agreement["n"], agreement["same"]) == (12, pytest.approx(11 / 12, abs=1e-6))
    assert agreement["kappa"]["value"] == pytest.approx(5 / 6, abs=1e-6)
    assert rates(report, "judge")[ARM]["abstention"]["value"] == pytest.approx(1 / 6, abs=1e-6)
    # The judge did not read the answers to the other questions.
    assert rates(report, "judge")[ARM]["over_abstention"] is None
    assert "Cohen&#39;s kappa 0.83" in page_of(run)


@pytest.mark.parametrize(
    ("language", "told"), [("ja", "一問も作れなかったため"), ("en", "No such question could be")]
)
def test_where_no_question_could_be_made_the_report_says_why(
    tmp_path: Path, language: str, told: str
) -> None:
    run = write_run(tmp_path / "run", Plan(gain))
    for name, kind in (("questions", Question), ("swaps", Swap), ("answers", Answer)):
        run.stage("unanswerable").write(name, kind, [])
    finish(run, "unanswerable", 24, 0, no_name=24)
    report = build_report(run, language)
    assert report["hallucination"] == {
        "questions": 0,
        "documents": 0,
        "sources": 24,
        "reasons": {"no_name": 24},
    }
    assert told in page_of(run)


def some(arm: str, checkpoint: str, condition: str, question: Question) -> float | None:
    """Half of the documents are known, before and after."""
    return float(int(question.document_id.removeprefix("d")) % 2)


def with_signals(run: RunFolder) -> RunFolder:
    """Right answers are likelier to the base, and the arm has no signal but length."""

    def rows() -> Iterator[AnswerSignal]:
        for answer in run.stage("evaluation").read("answers", Answer):
            if answer.condition != "closed_book" or (answer.arm, answer.checkpoint) not in MODELS:
                continue
            yield AnswerSignal(answer.id, SHORTNESS, -5.0)
            is_base = answer.arm == "base"
            value = (0.0 if answer.text == UNKNOWN else 1.0) - 2 if is_base else None
            yield AnswerSignal(answer.id, MEAN, value, "" if is_base else "not given")

    run.stage("signals").write("signals", AnswerSignal, rows())
    finish(run, "signals", 48, 48)
    return run


def test_a_signal_that_tells_right_from_wrong_is_shown_beyond_length(tmp_path: Path) -> None:
    run = with_signals(write_run(tmp_path / "run", Plan(some, documents=12)))
    report = build_report(run, "ja")["signals"]
    found = {(row["arm"], row["signal"]): row for row in report["rows"]}
    row = found["base", MEAN]
    assert (row["right"], row["wrong"], row["missing"]) == (24, 24, 0)
    assert row["auroc"]["value"] == 1.0
    assert row["beyond_shortness"]["value"] == 0.5
    assert found["base", SHORTNESS]["auroc"]["value"] == 0.5
    assert (ARM, MEAN) not in found
    assert report["without"] == [ARM]
    assert "尤度もサンプルも得られなかったモデル：" + ARM in page_of(run)


def test_too_few_wrong_answers_are_named_and_give_no_figure(tmp_path: Path) -> None:
    def nearly_all(arm: str, checkpoint: str, condition: str, question: Question) -> float:
        return float(question.document_id != "d0")

    run = with_signals(write_run(tmp_path / "run", Plan(nearly_all)))
    rows = build_report(run, "en")["signals"]["rows"]
    assert all(row["auroc"] is None and row["wrong"] < 10 for row in rows)
    assert "fewer than 10 wrong answers" in page_of(run)


def test_a_mark_of_eight_counts_as_right(tmp_path: Path) -> None:
    def marks(arm: str, checkpoint: str, condition: str, question: Question) -> float:
        # 8 and 7 of 10.
        return (7 if int(question.document_id.removeprefix("d")) % 2 else 6) / 9

    run = with_signals(write_run(tmp_path / "run", Plan(marks, documents=12, scorer="judge")))
    report = build_report(run, "ja")["signals"]
    assert report["right_from"] == 8.0
    assert {(row["right"], row["wrong"]) for row in report["rows"]} == {(24, 24)}


def test_health_is_measured_before_and_after(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(gain))
    report = build_report(run, "ja", lambda text: 0.25)["health"]
    rows = {(row["arm"], row["condition"]): row for row in report["rows"]}
    assert set(rows) == {(arm, c) for arm, _ in MODELS for c in ("closed_book", "open_book")}
    base, tuned = rows["base", "closed_book"], rows[ARM, "closed_book"]
    assert base["means"]["characters"]["value"] == len(UNKNOWN)
    assert base["means"]["in_script"]["value"] == 1.0
    assert base["means"]["repeated"]["value"] == 0.25
    assert base["changes"] == {}
    assert tuned["changes"]["characters"]["value"] < 0
    assert tuned["changes"]["repeated"]["value"] == 0.0
    assert tuned["finish_reasons"] == {"unknown": 24}
    assert (tuned["answers"], tuned["failed"]) == (24, 0)
    page = page_of(run)
    assert '<section id="health">' in page
    assert "繰り返し" in page


def test_without_a_measure_of_repetition_nothing_is_said_of_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(gain))
    assert "repeated" not in build_report(run, "ja")["health"]["measures"]
    assert "繰り返し" not in page_of(run)


def test_failed_answers_are_counted_and_in_no_mean(tmp_path: Path) -> None:
    def failing(arm: str, checkpoint: str, condition: str, question: Question) -> float | None:
        return None if question.document_id == "d0" else 0.0

    report = build_report(write_run(tmp_path / "run", Plan(failing)), "ja")["health"]
    assert {(row["answers"], row["failed"]) for row in report["rows"]} == {(20, 4)}


def test_failures_of_the_runs_own_questions_stand_beside_their_share(tmp_path: Path) -> None:
    run = with_unanswerable(write_run(tmp_path / "run", Plan(gain)), base_abstains)
    stage = run.stage("evaluation")
    answers = list(stage.read("answers", Answer))
    gone = [a.id for a in answers if (a.arm, a.condition) == ("base", "closed_book")][:5]
    stage.write(
        "answers",
        Answer,
        [replace(a, error="503", text="") if a.id in gone else a for a in answers],
    )
    row = rates(build_report(run, "en"))["base"]
    assert row["unanswerable"] == {"empty": 0, "failed": 0, "unread": 0}
    assert row["answerable"] == {"empty": 0, "failed": 5, "unread": 0}
    page = page_of(run).partition('<section id="hallucination">')[2]
    assert page.count("5 failed, in no share") == 1


def test_further_models_stand_last(tmp_path: Path) -> None:
    plan = Plan(gain, arms=((ARM, 0.001), ("api", 0.002)), epochs=2)
    run = write_run(tmp_path / "run", plan)
    kinds: dict[str, type[Any]] = {"answers": Answer, "scores": Score}
    for name, kind in kinds.items():
        rows = [
            replace(row, checkpoint="base") if row.arm == "api" else row
            for row in run.stage("evaluation").read(name, kind)
            if row.arm != "api" or row.checkpoint == "epoch-2"
        ]
        run.stage("evaluation").write(name, kind, rows)
    described = run.read_json("run.json")
    arms = [arm for arm in described["arms"] if arm["name"] != "api"]
    run.write_json("run.json", {**described, "arms": arms, "further_models": ["api"]})
    with_signals(with_unanswerable(run, base_abstains))
    rows = list(run.stage("signals").read("signals", AnswerSignal))
    own = [a.id for a in run.stage("evaluation").read("answers", Answer) if a.arm == "api"]
    run.stage("signals").write(
        "signals", AnswerSignal, [*rows, *(AnswerSignal(name, SHORTNESS, -5.0) for name in own)]
    )
    report = build_report(run, "ja")
    wanted = ["base", ARM, "api"]
    section = page_of(run).partition('<section id="signals">')[2].partition("</section>")[0]
    places = [section.rindex(f'<th scope="row">{name}</th>') for name in ("学習前", ARM, "api")]
    assert places == sorted(places)
    assert section.index('<th scope="row">api</th>') > places[1]
    closed = [r["arm"] for r in report["health"]["rows"] if r["condition"] == "closed_book"]
    assert closed == wanted
    assert list(rates(report)) == wanted


def test_health_has_no_interval_without_width_and_no_hyphen_for_a_minus(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(gain))
    rows = build_report(run, "ja")["health"]["rows"]
    (base,) = [row for row in rows if (row["arm"], row["condition"]) == ("base", "closed_book")]
    # Every answer of the base is the same.
    characters = base["means"]["characters"]
    assert (characters["value"], characters["low"], characters["high"]) == (7.0, None, None)
    section = page_of(run).partition('<section id="health">')[2].partition("</section>")[0]
    assert "変化 −" in section
    assert "変化 -" not in section


def lengths(arm: str, question: Question) -> str:
    """Most answers of a few letters, and those about one document far longer."""
    return "あ" * (90 if question.document_id == "d0" else 3)


def test_no_length_of_a_text_is_said_to_be_below_nothing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(gain))
    stage = run.stage("evaluation")
    questions = {q.id: q for q in run.stage("questions").read("questions", Question)}
    answers = [
        replace(answer, text=lengths(answer.arm, questions[answer.question_id]))
        for answer in stage.read("answers", Answer)
    ]
    stage.write("answers", Answer, answers)
    rows = build_report(run, "ja")["health"]["rows"]
    found = [row["means"]["characters"] for row in rows]
    assert {figure["low"] for figure in found} == {0.0}
    assert all(figure["high"] > figure["value"] > 0 for figure in found)


def test_a_run_without_these_stages_has_none_of_the_sections(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(gain))
    report = build_report(run, "ja")
    assert report["hallucination"] is None
    assert report["signals"] is None
    assert '<section id="hallucination">' not in page_of(run)
