"""Whole reports of small runs: what they hold, that they are safe, and that nothing crashes."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from report_run import DRINKS, Plan, gain, run_description, write_run
from teichaku.core.records import Question, Score
from teichaku.core.run_folder import RunFolder
from teichaku.report.build import build_report, summary_lines

LEARNT = Plan(gain)


def page_of(run: RunFolder) -> str:
    return (run.path / "report" / "index.html").read_text(encoding="utf-8")


class _Elements(HTMLParser):
    """Every element of a page with its attributes, and the text outside of scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._silent = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._silent = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._silent = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self._silent else data


def elements(page: str) -> _Elements:
    parser = _Elements()
    parser.feed(page)
    return parser


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return write_run(tmp_path_factory.mktemp("run") / "drinks", LEARNT)


@pytest.fixture(scope="module")
def report(run: RunFolder) -> dict[str, Any]:
    return build_report(run, "ja")


def test_report_json_holds_what_is_returned(run: RunFolder, report: dict[str, Any]) -> None:
    written = json.loads((run.path / "report" / "report.json").read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(report))


def test_the_headline_compares_base_and_best_on_the_same_questions(report: dict[str, Any]) -> None:
    headline = report["headline"]
    assert (headline["outcome"], headline["decision"]) == ("learnt", "train")
    row = next(
        row
        for row in headline["rows"]
        if (row["question_kind"], row["condition"]) == ("held_out", "closed_book")
    )
    assert (row["base"]["value"], row["tuned"]["value"]) == (0.0, 1.0)
    assert row["difference"] == {
        "value": 1.0,
        "low": 1.0,
        "high": 1.0,
        "n": 12,
        "documents": 6,
        "failed": 0,
    }
    # Price is answered with the passage, amount is not.
    assert headline["closed_against_open"]["tuned"]["value"] == 0.5


def test_scores_have_the_promised_columns(report: dict[str, Any]) -> None:
    wanted = ["arm", "checkpoint", "condition", "question_kind", "scorer"]
    assert list(report["scores"][0]) == [*wanted, "value", "low", "high", "n", "failed"]
    # base: 2 conditions; tuned: epoch 1 closed book, epoch 2 both. 3 kinds, 3 scorers each.
    assert len(report["scores"]) == (2 + 3) * 3 * 3


def test_the_curve_starts_at_the_base(report: dict[str, Any]) -> None:
    points = [row for row in report["progress"] if row["scorer"] == "containment"]
    assert [(row["epoch"], row["value"]) for row in points] == [(0, 0.0), (1, 1.0), (2, 1.0)]


def test_counts_add_up_and_keep_samples_with_evidence(report: dict[str, Any]) -> None:
    assert [row["adds_up"] for row in report["counts"]] == [True] * 6
    curation = next(row for row in report["counts"] if row["stage"] == "curation/qa")
    (reason,) = curation["reasons"]
    assert (reason["reason"], reason["count"], len(reason["samples"])) == (
        "not_self_contained",
        4,
        3,
    )
    assert reason["samples"][0]["evidence"] == "「この」が指す名前がない"


def test_the_judge_that_is_the_teacher_is_named_as_such(report: dict[str, Any]) -> None:
    assert report["judge"]["is_teacher"]
    assert any("教師モデルと同じ" in caveat for caveat in report["headline"]["caveats"])


def test_the_choice_on_the_same_questions_is_admitted(report: dict[str, Any]) -> None:
    assert any("同じ質問の得点で 2 個から" in caveat for caveat in report["headline"]["caveats"])


def test_an_arm_that_keeps_its_last_checkpoint_was_not_chosen(tmp_path: Path) -> None:
    run = write_run(tmp_path / "drinks", Plan(gain, judged=False))
    marker = "training/qa@learning_rate=0.001/stage.json"
    run.write_json(marker, {**run.read_json(marker), "arguments": {"select": "last"}})
    assert build_report(run, "en")["headline"]["caveats"] == []


def test_examples_come_from_different_documents(report: dict[str, Any]) -> None:
    good = report["examples"]["good"]
    assert len({example["title"] for example in good}) == 4
    assert all(example["question_kind"] == "held_out" for example in good)
    conditions = [(a["checkpoint"], a["condition"]) for a in good[0]["answers"]]
    assert conditions == [
        ("base", "closed_book"),
        ("epoch-2", "closed_book"),
        ("base", "open_book"),
        ("epoch-2", "open_book"),
    ]
    assert report["examples"]["bad"] == []


def test_costs_are_summed(report: dict[str, Any]) -> None:
    total = report["timing"]["total"]
    assert (total["requests"], total["cached_requests"]) == (60, 24)
    assert total["seconds"] == 1.5 * (1 + 2 + 3 + 4 + 5 + 6)


def test_the_page_shows_the_story_in_japanese(run: RunFolder, report: dict[str, Any]) -> None:
    text = elements(page_of(run)).text
    for wanted in (
        *report["headline"]["sentences"],
        "エポックごとの得点",
        f"{DRINKS[0]}は300円です。",
        "審査：10 / 10",
        "Terms apply.",
        "teichaku run drinks.yaml",
        "出典：飲み物",
        "漏れの検査：学習に見せない質問 12 問",
    ):
        assert wanted in text


def test_the_page_in_english_has_no_japanese_words_of_its_own(tmp_path: Path) -> None:
    run = write_run(tmp_path / "drinks", LEARNT)
    build_report(run, "en")
    text = elements(page_of(run)).text
    assert "It took hold" in text
    assert not re.search("学習|判定|審査", text)


def test_the_page_loads_nothing(run: RunFolder, report: dict[str, Any]) -> None:
    found = elements(page_of(run)).found
    loads = [
        (tag, name, value)
        for tag, attributes in found
        for name, value in attributes.items()
        if name in ("src", "srcset", "action", "poster", "data", "background")
        or (name == "href" and tag != "a")
    ]
    assert loads == [("link", "href", "data:,")]
    policy = next(a["content"] for _, a in found if a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    style = page_of(run).partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_two_builds_are_the_same_bytes(run: RunFolder, report: dict[str, Any]) -> None:
    before = page_of(run)
    build_report(run, "ja")
    assert page_of(run) == before


def test_a_hostile_document_stays_text(tmp_path: Path) -> None:
    evil = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>{{ 7*7 }}"
    run = write_run(tmp_path / "drinks", Plan(gain, passage=evil))
    described = {**run_description(LEARNT), "name": evil, "command": evil}
    described["models"][0]["licence_url"] = "javascript:alert(1)"
    described["arms"][0]["student"] = evil
    run.write_json("run.json", described)
    build_report(run, "ja")
    found = elements(page_of(run))
    assert [tag for tag, _ in found.found].count("script") == 4
    assert "img" not in [tag for tag, _ in found.found]
    assert not any((a.get("href") or "").startswith("javascript:") for _, a in found.found)
    assert evil in found.text


def _wrong(arm: str, checkpoint: str, condition: str, question: Question) -> float | None:
    return 0.0


def _failed(arm: str, checkpoint: str, condition: str, question: Question) -> float | None:
    return None


@pytest.mark.parametrize(
    ("plan", "outcome"),
    [
        (Plan(gain, judged=False), "learnt"),
        (Plan(gain, conditions=["closed_book"]), "learnt"),
        (Plan(gain, conditions=["open_book"]), "too_few"),
        (Plan(gain, kinds=["trained"]), "wording_untested"),
        (Plan(gain, kinds=["unseen"]), "generalised"),
        (Plan(gain, documents=1), "too_few"),
        (Plan(gain, arms=[]), "no_training"),
        (Plan(_wrong), "not_learnt"),
        (Plan(_failed), "no_scores"),
        (Plan(gain, epochs=1), "learnt"),
        (Plan(gain, finish=False), "no_scores"),
    ],
    ids=[
        "no judge",
        "no open book",
        "open book only",
        "no held-out wording",
        "unseen only",
        "one document",
        "no trained arm",
        "nothing right",
        "every answer failed",
        "one epoch",
        "no finished stage",
    ],
)
def test_a_run_with_missing_parts_gets_a_sensible_report(
    tmp_path: Path, plan: Plan, outcome: str
) -> None:
    run = write_run(tmp_path / "drinks", plan)
    report = build_report(run, "en")
    assert report["headline"]["outcome"] == outcome
    assert report["headline"]["sentences"][0] in elements(page_of(run)).text.replace("&#39;", "'")
    assert "None" not in " ".join(report["headline"]["sentences"])
    assert summary_lines(report, "en")[0].startswith("Verdict: ")


def test_an_empty_run_description_is_enough(tmp_path: Path) -> None:
    run = write_run(tmp_path / "drinks", LEARNT)
    run.write_json("run.json", {})
    report = build_report(run, "ja")
    assert report["headline"]["best_arm"] == "qa@learning_rate=0.001"


def test_every_student_is_measured_against_its_own_base(tmp_path: Path) -> None:
    run = write_run(tmp_path / "drinks", LEARNT)
    described = run_description(LEARNT)
    described["base_arms"] = ["base:other", "base:pupil"]
    run.write_json("run.json", described)
    folder = run.stage("evaluation")
    rows = []
    for row in folder.read("scores", Score):
        names = [f"{row.arm}:{name}" for name in ("pupil", "other")] if row.arm == "base" else []
        for name in names or [row.arm]:
            fields = {field: getattr(row, field) for field in Score.__slots__}
            rows.append(Score(**{**fields, "arm": name}))
    folder.write("scores", Score, rows)
    headline = build_report(run, "ja")["headline"]
    assert (headline["base_arm"], headline["outcome"]) == ("base:pupil", "learnt")


def test_a_question_scored_twice_counts_once(tmp_path: Path) -> None:
    run = write_run(tmp_path / "drinks", LEARNT)
    before = build_report(run, "ja")["scores"]
    folder = run.stage("evaluation")
    rows = list(folder.read("scores", Score))
    folder.write("scores", Score, [*rows, *rows])
    assert build_report(run, "ja")["scores"] == before


def test_counts_that_do_not_add_up_are_shown_as_such(tmp_path: Path) -> None:
    run = write_run(tmp_path / "drinks", LEARNT)
    summary = run.stage("curation/qa").summary()
    assert summary is not None
    summary["counts"]["out"] += 1
    run.write_json("curation/qa/stage.json", summary)
    report = build_report(run, "en")
    assert "The counts of these stages do not add up: curation/qa." in report["headline"]["caveats"]


def test_the_summary_is_a_table_that_lines_up(run: RunFolder, report: dict[str, Any]) -> None:
    lines = summary_lines(report, "ja", Path("runs/drinks"))
    assert lines[0] == "判定: 学習が有効"
    assert lines[-1] == "レポート: runs/drinks/report/index.html"
    assert any(line.startswith("別の言い回し      正答の包含") for line in lines)
