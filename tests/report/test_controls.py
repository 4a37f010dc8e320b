"""What the report tells of general ability, against values worked out by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from control_run import CHOICE, Said, with_controls
from report_run import Plan, gain, write_run
from teichaku.core.records import Score
from teichaku.core.run_folder import RunFolder
from teichaku.core.statistics import (
    holm,
    minimum_detectable_difference,
    paired_difference,
    sign_flip_test,
    stratified_mean,
)
from teichaku.evaluation.benchmarks.catalogue import shipped
from teichaku.evaluation.benchmarks.prepared import prepare
from teichaku.report.build import build_report
from teichaku.report.control_figures import control_figures
from teichaku.report.controls import control_cell, controls
from teichaku.report.diagnosis import ability_of
from teichaku.report.evidence import Evidence, read_evidence
from teichaku.report.wording import Wording

ARMS = (("a", 0.001), ("b", 0.0001))
PUBLISHED = replace(CHOICE, key="choice@published", is_published=True)
JUDGED = replace(
    CHOICE, key="tasks", name="tasks", form="judge", metric="judge", category="judge",
    scale=(1.0, 5.0),
)  # fmt: skip
FIGURES = replace(CHOICE, key="pairs", name="pairs", form="number", metric="pearson",
                  category="STS")  # fmt: skip


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
    # What is left of the score of the untuned model.
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
    for row in found(run)["averages"]:
        assert row["beyond"] == ["choice"]
        assert row["not_computed"]["alt-e-to-j"] == "comet_wmt22"


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


def test_a_metric_that_stands_beside_is_shown_and_changes_nothing_else(run: RunFolder) -> None:
    about = replace(CHOICE, beside="mcc")
    wanted = ["1"] * 8 + ["0"] * 4
    said = {("base", "choice"): wanted, ("a", "choice"): ["1"] * 12}
    with_controls(run, [CHOICE], said, wanted)
    alone = found(run)
    with_controls(run, [about], said, wanted)
    both = found(run)
    values = {
        (row["arm"], row["metric"]): (row["lenient"]["value"], row["unit"], row["stands_beside"])
        for row in both["rows"]
    }
    assert values == {
        ("base", "exact_match"): (1.0, "share", False),
        ("base", "mcc"): (1.0, "number", True),
        # Always the commonest label: often right, and of no use.
        ("a", "exact_match"): (0.666667, "share", False),
        ("a", "mcc"): (0.0, "number", True),
    }
    for part in ("changes", "categories", "together", "against_best"):
        assert both[part] == alone[part]
    build_report(run, "en")
    assert "Matthews" in (run.path / "report" / "index.html").read_text("utf-8")


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


FIGURE = {"low": 0.05, "high": 0.6, "n": 24, "documents": 12, "failed": None}


def drawn(values: Mapping[str, Sequence[float | None]]) -> Any:
    """The only chart of models with values in as many categories."""
    rows = [
        {
            "category": category,
            "arm": arm,
            "lenient": None if value is None else {**FIGURE, "value": value},
            "is_published": False,
        }
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
    for layer in figure.spec["layer"][-1:]:
        point = layer["data"]["values"][0]
        assert (point["told"], point["interval"], point["n"]) == ("10.0%", "5.0–60.0", "24")
        assert {"interval", "n"} <= {one["field"] for one in layer["encoding"]["tooltip"]}
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
    notes += (
        "comet_wmt22 is not computed here: bleu_ja marks the answers instead, "
        "outside of any published average",
    )
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
    base = {"en": "Base", "ja": "学習前"}[language]
    places = [head.index(f'<th scope="row">{arm}</th>') for arm in (base, "a", "api")]
    assert places == sorted(places)
    assert rest.count("<details>") >= 2


def test_means_of_categories_have_their_interval_and_size(run: RunFolder) -> None:
    sets = [
        replace(CHOICE, key=key, name=key, category=category)
        for key, category in (("one", "MC"), ("two", "MC"), ("three", "NLI"))
    ]
    said = {
        ("base", key): texts for key, texts in (("one", BEFORE), ("two", LOST), ("three", LOST))
    }
    with_controls(run, sets, said)
    made = found(run)
    rows = {row["category"]: row["lenient"] for row in made["categories"] if row["arm"] == "base"}
    # A category of one set has that set's interval.
    (alone,) = [row["lenient"] for row in made["rows"] if row["set"] == "three"]
    assert [rows["NLI"][end] for end in ("value", "low", "high")] == [
        alone[end] for end in ("value", "low", "high")
    ]
    strata = [
        ([float(text == "1") for text in texts], [str(place // 2) for place in range(12)])
        for texts in (BEFORE, LOST, LOST)
    ]
    mean = stratified_mean(strata[:2], [1, 1], (0.0, 1.0))
    whole = stratified_mean(strata, [1, 1, 2], (0.0, 1.0))
    assert mean is not None and whole is not None
    assert (rows["MC"]["n"], rows["MC"]["documents"]) == (24, 12)
    assert [rows["MC"][end] for end in ("value", "low", "high")] == pytest.approx(
        [mean.value, mean.low, mean.high], abs=1e-6
    )
    (overall,) = made["means"]
    assert overall["categories"] == ["MC", "NLI"]
    # Categories count the same, however many sets they have.
    assert overall["lenient"]["value"] == pytest.approx((13 / 24 + 1 / 3) / 2, abs=1e-6)
    assert [overall["lenient"][end] for end in ("low", "high", "n")] == pytest.approx(
        [whole.low, whole.high, 36], abs=1e-6
    )


def test_a_category_of_a_correlation_has_no_interval(run: RunFolder) -> None:
    numbers = [str(n) for n in range(6)]
    with_controls(run, [FIGURES], {("base", "pairs"): numbers}, numbers)
    (row,) = found(run)["categories"]
    assert (row["lenient"]["value"], row["lenient"]["low"], row["lenient"]["n"]) == (1.0, None, 6)
    assert found(run)["means"] == []


def test_what_a_set_could_have_shown_stands_beside_its_change(run: RunFolder) -> None:
    with_controls(run, [CHOICE], {("base", "choice"): BEFORE, ("a", "choice"): LOST})
    old, new = ([float(text == "1") for text in texts] for texts in (BEFORE, LOST))
    wanted = minimum_detectable_difference(
        old, new, [str(place // 2) for place in range(12)], (0.0, 1.0)
    )
    assert wanted is not None and 0 < wanted < 1
    assert change(run, "a", "lenient")["detectable"] == pytest.approx(wanted, abs=1e-6)
    build_report(run, "ja")
    page = (run.path / "report" / "index.html").read_text("utf-8")
    assert f"{100 * wanted:.0f}ポイント" in page.partition('id="controls"')[2]


def test_arms_that_differ_in_their_seed_are_taken_together_by_set(run: RunFolder) -> None:
    about = run.read_json("run.json")
    for seed, arm in enumerate(about["arms"]):
        arm["settings"] = {"learning_rate": 0.001, "seed": seed}
    run.write_json("run.json", about)
    half = ["1"] * 6 + ["0"] * 6
    said = {("base", "choice"): BEFORE, ("a", "choice"): LOST, ("b", "choice"): half}
    with_controls(run, [CHOICE], said)
    (row,) = found(run)["seeds"]
    assert (row["set"], row["arms"], row["seeds"]) == ("choice", ["a", "b"], [0, 1])
    assert row["mean"]["value"] == pytest.approx(5 / 12, abs=1e-6)
    assert row["difference"]["value"] == pytest.approx(-4 / 12, abs=1e-6)
    # A question that two seeds answered is one question.
    assert (row["difference"]["n"], row["difference"]["documents"]) == (12, 6)
    assert row["between_seeds"] is not None
    build_report(run, "en")
    page = (run.path / "report" / "index.html").read_text("utf-8")
    section = page.partition('id="controls"')[2].partition("</section>")[0]
    assert "The same with other seeds" in section
    assert "12 questions about 6 documents" in section
