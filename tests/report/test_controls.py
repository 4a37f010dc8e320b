"""What the report tells of general ability, against values worked out by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from report_run import Plan, gain, write_run
from teichaku.core.records import Answer, Question, Score
from teichaku.core.run_folder import RunFolder
from teichaku.core.statistics import holm, paired_difference, sign_flip_test
from teichaku.evaluation.benchmarks.catalogue import shipped
from teichaku.evaluation.benchmarks.controls import (
    ControlInfo,
    Controls,
    control_scores,
    write_results,
    write_sets,
)
from teichaku.evaluation.benchmarks.prepared import prepare
from teichaku.evaluation.benchmarks.rows import Item
from teichaku.report.build import build_report
from teichaku.report.control_figures import control_figures
from teichaku.report.controls import control_cell, controls
from teichaku.report.diagnosis import ability_of
from teichaku.report.evidence import Evidence, read_evidence
from teichaku.report.wording import Wording

#: What a model says to the items of a set, by arm and set; None: the request failed.
Said = Mapping[tuple[str, str], Sequence[str | None]]
ARMS = (("a", 0.001), ("b", 0.0001))
UNTRAINED = ("base", "api")
LABELS = ("0", "1")
CHOICE = ControlInfo(
    "choice", "choice", "Choices", "MC", "choice", "exact_match", "1", (0.0, 1.0), "match",
    is_published=False, items=12, shots=0, max_tokens=8, instruction="", frame="1.3",
)  # fmt: skip
PUBLISHED = replace(CHOICE, key="choice@published", is_published=True)
JUDGED = replace(
    CHOICE, key="tasks", name="tasks", form="judge", metric="judge", category="judge",
    scale=(1.0, 5.0),
)  # fmt: skip
FIGURES = replace(CHOICE, key="pairs", name="pairs", form="number", metric="pearson",
                  category="STS")  # fmt: skip


def item(about: ControlInfo, place: int, reference: str = "1") -> Item:
    key = about.key
    question = Question(
        f"{key}-{place:02}", "control", f"{key}-document-{place // 2}", "", "", "どちら？", reference,
        benchmark=key,
    )  # fmt: skip
    return Item(question, (reference,), LABELS if about.form == "choice" else ())


def with_controls(
    run: RunFolder,
    sets: Sequence[ControlInfo],
    said: Said,
    references: Sequence[str] = (),
) -> RunFolder:
    """``run`` with the answers ``said`` to control sets."""
    folder = run.stage("controls")
    folder.begin("controls")
    size = len(next(iter(said.values())))
    wanted = references or ["1"] * size
    items = [item(about, place, wanted[place]) for about in sets for place in range(size)]
    by_id = {one.question.id: one for one in items}
    answers = [
        Answer(
            f"{key}-{place}-{arm}", f"{key}-{place:02}", arm,
            "base" if arm in UNTRAINED else "epoch-2", "closed_book", text or "",
            error="" if text is not None else "gone",
        )
        for (arm, key), texts in said.items()
        for place, text in enumerate(texts)
    ]  # fmt: skip
    of = Controls({one.key: one for one in sets}, by_id, answers, [], {})
    write_sets(folder, sets, items)
    scores = control_scores(of)
    folder.write("answers", Answer, answers)
    folder.write("scores", Score, scores)
    write_results(folder, of, scores)
    folder.finish("controls", {"counts": {"in": 0, "out": 0, "dropped": 0, "reasons": {}}})
    run.add_stage("controls", "controls")
    return run


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return write_run(tmp_path / "drinks", Plan(gain, arms=ARMS))


def found(run: RunFolder) -> dict[str, Any]:
    evidence = read_evidence(run)
    made = controls(evidence, evidence.arms())
    assert made is not None
    return made


def change(run: RunFolder, arm: str, reading: str, key: str = "choice") -> dict[str, Any]:
    (row,) = [
        row for row in found(run)["changes"]
        if (row["arm"], row["reading"], row["set"]) == (arm, reading, key)
    ]  # fmt: skip
    return dict(row)


BEFORE = ["1"] * 9 + ["0"] * 3
LOST = ["1"] * 4 + ["0"] * 8
WORDY = ["答えは1です。"] * 9 + ["0"] * 3


def test_an_arm_is_held_against_its_base_item_by_item(run: RunFolder) -> None:
    said = {("base", "choice"): BEFORE, ("a", "choice"): LOST, ("b", "choice"): WORDY}
    with_controls(run, [CHOICE], said)
    row = change(run, "a", "strict")
    old, new = [float(text == "1") for text in BEFORE], [float(text == "1") for text in LOST]
    clusters = [str(place // 2) for place in range(12)]
    wanted = paired_difference(old, new, clusters, (0.0, 1.0))
    assert wanted is not None
    difference = row["difference"]
    assert (difference["value"], difference["n"], difference["documents"]) == (-0.416667, 12, 6)
    assert (difference["low"], difference["high"]) == pytest.approx((wanted.low, wanted.high))
    assert (row["won"], row["lost"], row["tied"]) == (0, 5, 7)
    # Relative as S5 has it: what is left of the score before.
    assert row["relative"]["value"] == pytest.approx(4 / 9, abs=1e-6)
    assert row["relative"]["low"] < row["relative"]["value"] < row["relative"]["high"]
    p_values = [sign_flip_test(old, new, clusters), sign_flip_test(old, [0.0] * 12, clusters)]
    adjusted = holm(p_values)
    assert row["p"] == pytest.approx(p_values[0], abs=1e-6)
    assert row["p_holm"] == pytest.approx(adjusted[0], abs=1e-6)
    assert row["family"] == 2


def test_the_two_readings_tell_what_was_lost_from_how_it_is_said(run: RunFolder) -> None:
    said = {("base", "choice"): BEFORE, ("a", "choice"): BEFORE, ("b", "choice"): WORDY}
    with_controls(run, [CHOICE], said)
    assert change(run, "b", "strict")["difference"]["value"] == -0.75
    assert change(run, "b", "lenient")["difference"]["value"] == 0.0
    # Nothing is known of the spread of a ratio where nothing moved.
    same = change(run, "a", "strict")["relative"]
    assert (same["value"], same["low"], same["high"]) == (1.0, None, None)
    (row,) = [row for row in found(run)["rows"] if row["arm"] == "b"]
    assert (row["unread_strict"], row["unread_lenient"], row["empty"]) == (0.75, 0.0, 0.0)
    assert (row["majority"], row["random"]) == (1.0, 0.5)


def test_a_failed_answer_is_in_no_mean_and_an_empty_one_is_wrong(run: RunFolder) -> None:
    gone = [*["1"] * 8, "", None, "0", "0"]
    said: Said = {("base", "choice"): BEFORE, ("a", "choice"): gone}
    with_controls(run, [CHOICE], said)
    row = change(run, "a", "strict")
    assert (row["difference"]["n"], row["difference"]["failed"]) == (11, 1)
    assert row["after"]["value"] == pytest.approx(8 / 11, abs=1e-6)
    (after,) = [row for row in found(run)["rows"] if row["arm"] == "a"]
    assert (after["asked"], after["failed"]) == (12, 1)
    assert after["empty"] == pytest.approx(1 / 11, abs=1e-6)


def test_a_set_asked_by_both_protocols_counts_once_among_all(run: RunFolder) -> None:
    said = {
        (arm, key): texts
        for arm, texts in (("base", BEFORE), ("a", LOST))
        for key in ("choice", "choice@published")
    }
    with_controls(run, [CHOICE, PUBLISHED], said)
    assert change(run, "a", "lenient", "together")["difference"]["n"] == 12
    # As published there is one reading.
    assert change(run, "a", "", "choice@published")["difference"]["value"] == -0.416667
    averages = found(run)["averages"]
    assert {row["value"] for row in averages} == {None}
    assert {row["beyond"] and row["beyond"][0] for row in averages} == {"choice"}


def test_a_metric_of_the_whole_set_has_no_items_to_compare(run: RunFolder) -> None:
    said = {
        ("base", "pairs"): [str(n) for n in range(6)],
        ("a", "pairs"): [str(-n) for n in range(6)],
    }
    with_controls(run, [FIGURES], said, [str(n) for n in range(6)])
    row = change(run, "a", "lenient", "pairs")
    assert (row["before"]["value"], row["after"]["value"]) == (1.0, -1.0)
    assert (row["difference"]["value"], row["difference"]["low"]) == (-2.0, None)
    assert (row["won"], row["p"], row["unit"]) == (None, None, "number")
    evidence = read_evidence(run)
    assert control_cell(evidence, "base", _arm(evidence)) is None


def _arm(evidence: Evidence, name: str = "a") -> Any:
    return next(arm for arm in evidence.arms() if arm.name == name)


def test_the_diagnosis_gets_the_mean_over_all_items(run: RunFolder) -> None:
    more = [*BEFORE, *BEFORE, *BEFORE]
    said = {("base", "choice"): more, ("a", "choice"): ["0"] * 36, ("b", "choice"): more}
    with_controls(run, [CHOICE], said)
    evidence = read_evidence(run)
    forgets = control_cell(evidence, "base", _arm(evidence))
    kept = control_cell(evidence, "base", _arm(evidence, "b"))
    assert forgets is not None and forgets.difference is not None
    assert forgets.question_kind == "control"
    assert forgets.difference.value == -0.75
    assert ability_of(forgets) == "forgets"
    assert ability_of(kept) in ("kept", "unclear")
    assert control_cell(evidence, "base", None) is None
    assert ability_of(None) == "unasked"


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_page_shows_it_and_leaves_it_out_where_nothing_was_asked(
    run: RunFolder, language: str
) -> None:
    report = build_report(run, language)
    assert report["controls"] is None
    page = (run.path / "report" / "index.html").read_text("utf-8")
    assert 'id="controls"' not in page and "#controls" not in page
    sets = [replace(CHOICE, key=key, name=key, category=category, notes=("<b>note</b>",))
            for key, category in (("one", "MC"), ("two", "NLI"), ("three", "QA"))]  # fmt: skip
    said = {
        (arm, one.key): texts
        for one in sets
        for arm, texts in (("base", BEFORE), ("a", LOST), ("b", WORDY))
    }
    with_controls(run, sets, said)
    report = build_report(run, language)
    page = (run.path / "report" / "index.html").read_text("utf-8")
    assert 'id="controls"' in page and 'href="#controls"' in page
    assert "&lt;b&gt;note" in page and "<b>note" not in page
    assert {row["category"] for row in report["controls"]["categories"]} == {"MC", "NLI", "QA"}
    assert 'data-chart="controls-0"' in page


def test_a_further_judge_is_no_reading_whatever_its_name(run: RunFolder) -> None:
    said = {("base", "choice"): BEFORE, ("a", "choice"): BEFORE}
    with_controls(run, [CHOICE], said)
    stage = run.stage("controls")
    scores = list(stage.read("scores", Score))
    marks = [
        replace(row, scorer="judge:kind_lenient", value=0.0)
        for row in scores
        if row.arm == "a" and row.scorer == "exact_match"
    ]
    assert len(marks) == 12
    stage.write("scores", Score, [*scores, *marks])
    assert change(run, "a", "lenient")["after"]["value"] == 0.75
    cell = control_cell(read_evidence(run), "base", _arm(read_evidence(run)))
    assert cell is not None and cell.difference is not None
    assert cell.difference.value == 0.0


def test_a_small_p_is_never_zero_and_a_family_has_only_tests(run: RunFolder) -> None:
    said: Said = {("base", "choice"): ["1"] * 80, ("a", "choice"): ["0"] * 80,
                  ("b", "choice"): [None] * 80}  # fmt: skip
    with_controls(run, [CHOICE], said)
    row = change(run, "a", "lenient")
    # Forty documents of one sign.
    assert row["p"] == row["p_holm"] == pytest.approx(2 / 2**40, rel=1e-3)
    assert row["family"] == 1
    failed = change(run, "b", "lenient")
    assert (failed["p"], failed["p_holm"], failed["family"]) == (None, None, 1)
    build_report(run, "en")
    page = (run.path / "report" / "index.html").read_text("utf-8")
    assert "p &lt; 0.001" in page
    assert "0.000" not in page.partition('id="controls"')[2].partition("</section>")[0]


def with_a_further_model(run: RunFolder) -> RunFolder:
    run.write_json("run.json", {**run.read_json("run.json"), "further_models": ["api"]})
    return run


def test_models_are_held_against_the_best_on_the_same_items(run: RunFolder) -> None:
    half = ["1"] * 6 + ["0"] * 6
    said = {
        (arm, key): texts
        for key in ("choice", "tasks2")
        for arm, texts in (("base", LOST), ("a", half), ("api", BEFORE))
    }
    with_controls(with_a_further_model(run), [CHOICE, replace(CHOICE, key="tasks2")], said)
    rows = found(run)["against_best"]
    own = [row for row in rows if row["set"] == "choice"]
    assert [(row["arm"], row["best"]) for row in own] == [("base", "api"), ("a", "api")]
    assert [row["difference"]["value"] for row in own] == [-0.416667, -0.25]
    clusters = [str(place // 2) for place in range(12)]
    best = [float(text == "1") for text in BEFORE]
    p_values = [
        sign_flip_test(best, [float(text == "1") for text in texts], clusters)
        for texts in (LOST, half)
    ]
    assert [row["p_holm"] for row in own] == pytest.approx(holm(p_values), rel=1e-3)
    assert {row["family"] for row in own} == {2}
    together = [row for row in rows if row["set"] == "together"]
    assert [row["difference"]["n"] for row in together] == [24, 24]
    means = {row["arm"]: row["value"]["value"] for row in found(run)["together"]}
    assert means == {"base": pytest.approx(1 / 3, abs=1e-6), "a": 0.5, "api": 0.75}


def test_one_untrained_model_is_the_one_to_be_held_against(run: RunFolder) -> None:
    with_controls(run, [CHOICE], {("base", "choice"): BEFORE, ("a", "choice"): LOST})
    assert found(run)["against_best"] == []
    assert found(run)["together"] == []


def drawn(values: Mapping[str, Sequence[float | None]]) -> Any:
    """The only chart of models with values in as many categories."""
    rows = [
        {"category": category, "arm": arm, "lenient": value, "is_published": False}
        for arm, own in values.items()
        for category, value in zip(("MC", "NLI", "QA"), own, strict=False)
    ]
    (figure,) = control_figures({"controls": {"categories": rows}}, Wording("en"))
    return figure


def test_a_model_that_lacks_a_value_is_named_and_the_others_stay_polygons() -> None:
    figure = drawn({"x": [0.1, 0.2, 0.3], "y": [0.3, None, 0.1], "z": [0.5, 0.5, 0.5]})
    assert "layer" in figure.spec
    assert list(figure.legend) == ["x", "z"]
    assert "not drawn: y;" in figure.title
    # Where most lack one, all are bars and nobody is left out.
    bars = drawn({"x": [0.1, 0.2, 0.3], "y": [0.3, None, 0.1]})
    assert "layer" not in bars.spec
    assert list(bars.legend) == ["x", "y"]
    assert "not drawn" not in bars.title


def test_more_models_than_the_chart_has_room_for_are_named() -> None:
    figure = drawn({f"m{place}": [0.1, 0.2, 0.3] for place in range(10)})
    assert list(figure.legend) == [f"m{place}" for place in range(8)]
    assert "not drawn: m8, m9;" in figure.title


def test_every_note_of_a_shipped_set_has_words_in_both_languages(run: RunFolder) -> None:
    notes = tuple({note for name in shipped() for note in prepare(name).notes})
    assert any("stands in for chabsa" in note for note in notes)
    about = replace(CHOICE, notes=(*notes, "of the user's own"))
    with_controls(run, [about], {("base", "choice"): BEFORE, ("a", "choice"): LOST})
    told = found(run)["sets"][0]["notes"]
    for note in told[:-1]:
        # English words say exactly what the note says, so that they cannot drift apart.
        key = f"control_notes.{note['name']}"
        assert Wording("en")(key, **note["values"]) == note["text"]
        assert Wording("ja")(key, **note["values"]) != note["text"]
    assert told[-1]["name"] == ""
    build_report(run, "ja")
    page = (run.path / "report" / "index.html").read_text("utf-8")
    assert "chabsa そのものではありません" in page
    assert "of the user&#39;s own" in page


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_compact_tables_have_a_row_for_each_model(run: RunFolder, language: str) -> None:
    said = {
        (arm, key): texts
        for key in ("choice", "choice@published")
        for arm, texts in (("base", BEFORE), ("a", LOST), ("api", WORDY))
    }
    with_controls(with_a_further_model(run), [CHOICE, PUBLISHED], said)
    build_report(run, language)
    page = (run.path / "report" / "index.html").read_text("utf-8")
    changes, values = page.split('<table class="matrix"')[1:]
    assert changes.partition("</table>")[0].count("<tr>") == 2
    head, _, rest = values.partition("</table>")
    # The header, three models, and what guessing reaches.
    assert head.count("<tr>") == 5
    assert [head.index(f'<th scope="row">{arm}</th>') for arm in ("base", "a", "api")] == sorted(
        head.index(f'<th scope="row">{arm}</th>') for arm in ("base", "a", "api")
    )
    assert rest.count("<details>") >= 2
