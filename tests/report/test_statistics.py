"""What the report says the differences are worth, on planted studies."""

from pathlib import Path
from typing import Any

import pytest

from report_run import Plan, gain, write_run
from teichaku.core.records import Question
from teichaku.core.run_folder import RunFolder
from teichaku.report.build import build_report

SEEDS = tuple((f"qa@seed={seed}", 0.001) for seed in (0, 1, 2))


def with_settings(run: RunFolder, **by_arm: dict[str, Any]) -> RunFolder:
    """``run`` whose arms were made by these settings of a matrix."""
    about = run.read_json("run.json")
    for item in about["arms"]:
        item["settings"] = {"learning_rate": 0.001, **by_arm[item["name"]]}
    run.write_json("run.json", about)
    return run


def statistics_of(run: RunFolder, language: str = "ja") -> dict[str, Any]:
    found: dict[str, Any] = build_report(run, language)["statistics"]
    return found


def row(rows: list[dict[str, Any]], kind: str = "held_out", **wanted: str) -> dict[str, Any]:
    asked = {"question_kind": kind, "condition": "closed_book", **wanted}
    (found,) = [row for row in rows if asked.items() <= row.items()]
    return found


def test_each_arm_is_tested_against_its_base(tmp_path: Path) -> None:
    found = statistics_of(write_run(tmp_path / "run", Plan(gain, documents=8)))
    own = row(found["against_base"])
    assert (own["before"], own["after"]) == ("base", "qa@learning_rate=0.001")
    assert (own["won"], own["lost"], own["tied"]) == (16, 0, 0)
    assert own["difference"]["value"] == 1.0
    # All eight documents gained: two of 256 ways to flip their signs reach that far.
    assert own["p"] == own["p_holm"] == pytest.approx(2 / 2**8, rel=1e-3)
    assert 0 < own["detectable"] < 1
    # Each document has two questions, which stand or fall together.
    assert own["mcnemar"] is None
    assert found["among_arms"] == found["seeds"] == []
    assert found["single_seeds"]


@pytest.mark.parametrize(("documents", "is_told"), [(2, True), (8, False)])
def test_a_difference_that_no_two_scores_can_have_is_none_that_can_be_found(
    tmp_path: Path, documents: int, is_told: bool
) -> None:
    run = write_run(tmp_path / "run", Plan(gain, documents=documents))
    own = row(statistics_of(run)["against_base"])
    assert (own["detectable"] > 1) == is_told
    page = (run.path / "report" / "index.html").read_text("utf-8")
    section = page.partition('<section id="statistics">')[2].partition("</section>")[0]
    assert ("この規模ではなし（100ポイントを超える）" in section) == is_told


def one_a_document(arm: str, checkpoint: str, condition: str, question: Question) -> float | None:
    """Only one question of each document has an answer."""
    if question.category == "量" or question.kind != "held_out":
        return None
    return gain(arm, checkpoint, "closed_book", question)


def test_mcnemars_test_is_shown_where_each_question_is_its_own_document(tmp_path: Path) -> None:
    plan = Plan(one_a_document, documents=8, conditions=["closed_book"], judged=False)
    own = row(statistics_of(write_run(tmp_path / "run", plan))["against_base"])
    assert own["difference"]["n"] == own["difference"]["documents"] == 8
    assert own["mcnemar"] == pytest.approx(own["p"], rel=1e-3)
    assert own["p"] == pytest.approx(2 / 2**8, rel=1e-3)


def only_the_first(arm: str, checkpoint: str, condition: str, question: Question) -> float | None:
    return gain(arm, checkpoint, condition, question) if arm in ("base", "a") else 0.0


def test_many_arms_make_chance_likelier_and_are_held_against_each_other(tmp_path: Path) -> None:
    arms = [(name, 0.001) for name in "abcd"]
    run = write_run(tmp_path / "run", Plan(only_the_first, documents=8, arms=arms))
    found = statistics_of(run)
    learnt = row(found["against_base"], after="a")
    assert learnt["family"] == 4
    assert learnt["p_holm"] == pytest.approx(4 * learnt["p"], rel=1e-3)
    assert row(found["against_base"], after="b")["p_holm"] == 1.0
    between = row(found["among_arms"], before="a", after="b")
    assert (between["difference"]["value"], between["family"]) == (-1.0, 6)
    assert between["lost"] == 16


def by_seed(arm: str, checkpoint: str, condition: str, question: Question) -> float | None:
    """Every seed learns, and each another share of the documents."""
    if checkpoint == "base":
        return 0.0
    learnt = {"qa@seed=0": 8, "qa@seed=1": 6, "qa@seed=2": 4}[arm]
    return float(int(question.document_id.removeprefix("d")) < learnt)


def test_arms_that_differ_in_their_seed_alone_are_taken_together(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(by_seed, documents=8, arms=SEEDS))
    with_settings(run, **{name: {"seed": place} for place, (name, _) in enumerate(SEEDS)})
    found = statistics_of(run)
    assert not found["single_seeds"]
    together = row(found["seeds"])
    assert (together["arms"], together["seeds"]) == ([name for name, _ in SEEDS], [0, 1, 2])
    assert together["mean"]["value"] == together["difference"]["value"] == pytest.approx(0.75)
    assert together["between_seeds"] > 0
    # A question that three seeds answered is one question, and its number is shown.
    assert (together["difference"]["n"], together["difference"]["documents"]) == (16, 8)
    page = (tmp_path / "run" / "report" / "index.html").read_text("utf-8")
    seeds = page.partition('<section id="statistics">')[2].partition("シードを変えた結果")[2]
    assert "8 文書・16 問" in seeds.partition("</table>")[0]
    # What other seeds may give is in the interval, and in that of one arm it is not.
    alone = row(found["against_base"], after="qa@seed=1")["difference"]
    width = together["difference"]["high"] - together["difference"]["low"]
    assert width > alone["high"] - alone["low"]


def test_another_setting_beside_the_seed_is_another_arm(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(by_seed, documents=8, arms=SEEDS))
    settings = {name: {"seed": place, "rank": place} for place, (name, _) in enumerate(SEEDS)}
    found = statistics_of(with_settings(run, **settings))
    assert found["seeds"] == []
    assert found["single_seeds"]


@pytest.mark.parametrize(
    ("language", "told"),
    [("ja", "区間はこの一回の学習についてのもの"), ("en", "about these training runs")],
)
def test_the_page_says_that_one_seed_is_one_training_run(
    tmp_path: Path, language: str, told: str
) -> None:
    run = write_run(tmp_path / "run", Plan(gain))
    build_report(run, language)
    page = (run.path / "report" / "index.html").read_text("utf-8")
    assert told in page
    assert "matrix: {training.seed: [0, 1, 2]}" in page


def test_without_a_trained_arm_there_is_nothing_to_test(tmp_path: Path) -> None:
    assert statistics_of(write_run(tmp_path / "run", Plan(gain, arms=()))) is None


def in_the_words_of_one(
    arm: str, checkpoint: str, condition: str, question: Question
) -> float | None:
    """Arm ``a`` answers what stands in its own examples, and nothing else sets the arms apart."""
    if question.kind == "trained_by_some":
        return float(arm == "a")
    return 0.0 if checkpoint == "base" else 0.5


def test_questions_in_the_words_of_some_arms_compare_no_arms(tmp_path: Path) -> None:
    plan = Plan(
        in_the_words_of_one,
        documents=8,
        kinds=("held_out", "trained_by_some"),
        arms=[("a", 0.001), ("b", 0.003)],
        scorer="character_f1",
    )
    run = write_run(tmp_path / "run", plan)
    report = build_report(with_settings(run, a={"seed": 0}, b={"seed": 1}), "ja")
    found = report["statistics"]
    assert {row["question_kind"] for row in found["among_arms"]} == {"held_out", "all"}
    assert row(found["among_arms"], "all")["difference"]["value"] == 0.0
    assert row(found["against_base"], "trained_by_some", after="a")["won"] == 16
    # All questions are the same ones everywhere on the page.
    everywhere = [
        *(row(found["against_base"], "all", after=arm)["difference"]["value"] for arm in "ab"),
        row(found["seeds"], "all")["difference"]["value"],
        *(
            line["difference"]["value"]
            for line in report["headline"]["rows"]
            if (line["question_kind"], line["condition"]) == ("all", "closed_book")
        ),
        *(
            line["value"]
            for line in report["scores"]
            if line["question_kind"] == "all"
            and (line["scorer"], line["condition"]) == ("character_f1", "closed_book")
            and line["checkpoint"] == "epoch-2"
        ),
    ]
    assert everywhere == [0.5] * len(everywhere) and len(everywhere) == 6


def one_arm_failed(arm: str, checkpoint: str, condition: str, question: Question) -> float | None:
    return None if arm == "b" else gain(arm, checkpoint, condition, question)


def test_what_was_not_tested_makes_chance_no_likelier(tmp_path: Path) -> None:
    arms = [(name, 0.001) for name in "abc"]
    run = write_run(tmp_path / "run", Plan(one_arm_failed, documents=8, arms=arms))
    assert row(statistics_of(run)["against_base"], after="a")["family"] == 2


@pytest.mark.parametrize(("documents", "is_grey"), [(4, True), (8, False)])
def test_rows_of_few_documents_are_grey(tmp_path: Path, documents: int, is_grey: bool) -> None:
    run = write_run(tmp_path / "run", Plan(gain, documents=documents))
    build_report(run, "ja")
    page = (run.path / "report" / "index.html").read_text("utf-8")
    section = page.partition('<section id="statistics">')[2].partition("</section>")[0]
    assert ('<tr class="small">' in section) == is_grey
    assert "増減のあった文書が六つ未満では" in section
