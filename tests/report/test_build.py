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
ARM = "training/qa@learning_rate=0.001"
STAGES = ("documents", "synthesis/qa", "curation/qa", "questions", ARM, "evaluation")


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
    change = row["difference"]
    assert (change["value"], change["high"]) == (1.0, 1.0)
    assert 0.4 < change["low"] < 0.7
    assert (change["n"], change["documents"], change["failed"]) == (12, 6, 0)
    # Price is answered with the passage, amount is not.
    assert headline["closed_against_open"]["tuned"]["value"] == 0.5


def test_scores_have_the_promised_columns(report: dict[str, Any]) -> None:
    wanted = ["arm", "checkpoint", "condition", "question_kind", "scorer"]
    assert list(report["scores"][0]) == [
        *wanted,
        "value",
        "low",
        "high",
        "n",
        "documents",
        "failed",
    ]
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
    about = run.read_json("run.json")
    arms = [{**arm, "select": "last"} for arm in about["arms"]]
    run.write_json("run.json", {**about, "arms": arms})
    assert build_report(run, "en")["headline"]["caveats"] == []


def with_notes(run: RunFolder, **notes: Any) -> RunFolder:
    """``run`` with more in the notes of its questions."""
    marker = run.read_json("questions/stage.json")
    run.write_json("questions/stage.json", {**marker, "notes": {**marker["notes"], **notes}})
    return run


def test_a_kind_that_was_asked_for_and_has_no_question_is_admitted(tmp_path: Path) -> None:
    run = with_notes(write_run(tmp_path / "drinks", LEARNT), empty_kinds=["independent"])
    caveats = build_report(run, "en")["headline"]["caveats"]
    told = "The recipe asks for questions made apart from the training examples, but none is left"
    assert sum(told in caveat for caveat in caveats) == 1
    caveats = build_report(run, "ja")["headline"]["caveats"]
    assert sum("レシピは学習例とは別に作った質問を求めていますが" in one for one in caveats) == 1


def test_running_text_of_the_best_arm_that_tells_unseen_answers_is_admitted(tmp_path: Path) -> None:
    run = write_run(tmp_path / "drinks", Plan(gain, kinds=["unseen"]))
    data = run.read_json("run.json")["arms"][0]["data"]
    asked = [q.example_id for q in run.stage("questions").read("questions", Question)]
    with_notes(run, leak_check={"unseen_told_in_text": {data: asked[:3], "other": []}})
    report = build_report(run, "en")["headline"]
    told = "The answers to 3 of 12 unseen questions stand in running text"
    (caveat,) = [caveat for caveat in report["caveats"] if told in caveat]
    assert "a gain on unseen questions may be learning" in caveat
    assert (report["outcome"], report["decision"]) == ("unseen_only", "undecided")
    with_notes(run, leak_check={"unseen_told_in_text": {data: asked[:1], "other": []}})
    report = build_report(run, "en")["headline"]
    assert any("so the verdict leaves these questions out" in one for one in report["caveats"])
    assert (report["outcome"], report["shown"]["difference"]["n"]) == ("generalised", 11)
    with_notes(run, leak_check={"unseen_told_in_text": {data: [], "other": asked[:3]}})
    report = build_report(run, "en")["headline"]
    assert not any("unseen" in caveat for caveat in report["caveats"])
    assert report["outcome"] == "generalised"


def test_examples_come_from_different_documents(report: dict[str, Any]) -> None:
    good = report["side_by_side"]["good"]
    assert len({example["title"] for example in good}) == 4
    assert all(example["question_kind"] == "held_out" for example in good)
    conditions = [(a["checkpoint"], a["condition"]) for a in good[0]["answers"]]
    assert conditions == [
        ("base", "closed_book"),
        ("epoch-2", "closed_book"),
        ("base", "open_book"),
        ("epoch-2", "open_book"),
    ]
    assert report["side_by_side"]["bad"] == []


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
        (Plan(_wrong), "inconclusive"),
        (Plan(_wrong, documents=20), "not_learnt"),
        (Plan(_failed), "no_scores"),
        (Plan(gain, epochs=1), "learnt"),
        (Plan(gain, unfinished=STAGES), "unfinished"),
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
        "nothing right in many documents",
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
    assert summary_lines(report)[0].startswith("Verdict: ")


@pytest.mark.parametrize("unfinished", [["evaluation"], [ARM, "evaluation"]])
def test_what_an_unfinished_stage_left_is_not_shown(tmp_path: Path, unfinished: list[str]) -> None:
    run = write_run(tmp_path / "drinks", Plan(gain, unfinished=unfinished))
    report = build_report(run, "en")
    headline = report["headline"]
    assert (headline["outcome"], headline["best_arm"]) == ("unfinished", None)
    assert (report["scores"], report["progress"], report["judge"]) == ([], [], None)
    assert len(report["losses"]) == (0 if ARM in unfinished else 8)
    assert headline["caveats"][0].startswith(
        f"These stages of the recipe are not finished, and nothing of them is shown: "
        f"{', '.join(unfinished)}."
    )
    assert headline["caveats"][0] in elements(page_of(run)).text


def test_answers_of_an_arm_that_is_not_trained_any_more_are_not_shown(tmp_path: Path) -> None:
    arms = [("qa@learning_rate=0.001", 0.001), ("qa@learning_rate=0.003", 0.003)]
    run = write_run(
        tmp_path / "drinks",
        Plan(gain, arms=arms, unfinished=["training/qa@learning_rate=0.003"]),
    )
    report = build_report(run, "en")
    assert {row["arm"] for row in report["scores"]} == {"base", "qa@learning_rate=0.001"}
    assert "not finished" in report["headline"]["caveats"][0]


def test_unseen_questions_that_share_wording_with_training_are_told(tmp_path: Path) -> None:
    kinds = ["trained", "unseen"]
    run = write_run(tmp_path / "drinks", Plan(gain, kinds=kinds, shared_unseen=3))
    caveats = build_report(run, "ja")["headline"]["caveats"]
    assert any("未学習の質問 12 問のうち 3 問が" in caveat for caveat in caveats)
    assert "学習データと同じ言い回しを含むもの 3 問" in elements(page_of(run)).text
    caveats = build_report(run, "en")["headline"]["caveats"]
    assert any(caveat.startswith("3 of 12 unseen questions share") for caveat in caveats)
    clean = write_run(tmp_path / "clean", Plan(gain, kinds=kinds))
    assert not any("unseen" in told for told in build_report(clean, "en")["headline"]["caveats"])
    assert "0 of 12 unseen questions share wording" in elements(page_of(clean)).text


def _on_the_way(arm: str, checkpoint: str, condition: str, question: Question) -> float | None:
    return 0.5 if condition == "open_book" else 0.0 if checkpoint == "base" else 0.75


@pytest.mark.parametrize("language", ["ja", "en"])
def test_a_headline_of_the_judge_is_told_in_marks(tmp_path: Path, language: str) -> None:
    run = write_run(tmp_path / "drinks", Plan(_on_the_way, scorer="judge"))
    report = build_report(run, language)
    headline = report["headline"]
    assert (headline["scorer"], headline["outcome"], headline["decision"]) == (
        "judge",
        "learnt",
        "train",
    )
    row = headline["shown"]
    assert (row["base"]["value"], row["tuned"]["value"]) == (1.0, 7.75)
    assert 1 <= row["base"]["low"] <= row["tuned"]["high"] <= 10
    told = " ".join(headline["sentences"])
    assert "%" not in told.replace("95%", "")
    assert "1.0" in told and "7.8" in told and "+6.8" in told
    assert ("7.8 of 10" if language == "en" else "10 点中 7.8 点") in told
    verdict = page_of(run).partition('id="progress"')[0].partition('id="verdict"')[2]
    tiles = elements(verdict.partition("<h3>")[0]).text
    assert "%" not in tiles.replace("95%", "")
    assert "1.0→7.8" in tiles
    line = next(line for line in summary_lines(report) if "1–10" in line or "1〜10" in line)
    assert "%" not in line.replace("95%", "")
    first = page_of(run).partition('data-chart="progress-0"')[0]
    assert first.rstrip().rpartition("<figcaption>")[2].startswith(("Judge", "審査"))


def test_a_headline_without_any_value_is_replaced_and_told(tmp_path: Path) -> None:
    run = write_run(tmp_path / "drinks", Plan(gain, judged=False, scorer="judge"))
    headline = build_report(run, "en")["headline"]
    assert headline["scorer"] == "containment"
    assert any("gave no value at all" in caveat for caveat in headline["caveats"])


def test_wording_of_some_arms_is_shown_and_decides_nothing(tmp_path: Path) -> None:
    def value(arm: str, checkpoint: str, condition: str, question: Question) -> float | None:
        if question.kind == "trained_by_some":
            return float(arm == "b")
        return {"a": 0.8, "b": 0.7}.get(arm, 0.0)

    kinds = ["trained", "trained_by_some", "held_out"]
    run = write_run(
        tmp_path / "drinks", Plan(value, kinds=kinds, arms=[("a", 0.001), ("b", 0.003)])
    )
    headline = build_report(run, "ja")["headline"]
    assert (headline["best_arm"], headline["outcome"]) == ("a", "learnt")
    assert list(headline["questions"]) == ["trained", "trained_by_some", "held_out"]
    assert "一部のアームの学習例にある言い回し" in elements(page_of(run)).text


def test_every_figure_tells_how_much_it_rests_on(run: RunFolder, report: dict[str, Any]) -> None:
    table = page_of(run).partition('class="comparison"')[2].partition("</table>")[0]
    assert elements(table).text.count("6 文書・12 問") == 4
    assert elements(table).text.count("6 文書・24 問") == 2


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
    lines = summary_lines(report, Path("runs/drinks"))
    assert lines[0] == "判定: 学習が有効"
    assert lines[-1] == "レポート: runs/drinks/report/index.html"
    assert any(line.startswith("別の言い回し      正答の包含") for line in lines)
