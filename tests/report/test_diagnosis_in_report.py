"""The diagnosis beside the verdict: planted studies, in both languages; they never disagree."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from report_run import Plan, write_run
from teichaku.core.records import Question
from teichaku.report import build
from teichaku.report.build import build_report, summary_lines
from teichaku.report.study import Cell
from teichaku.report.tables import Estimate

Value = Callable[[str, str, str, Question], float | None]
WITH_RETRIEVAL = ("closed_book", "open_book", "retrieval")


def study(
    trained: float, held_out: float, found: float = 0.0, both: float = 0.0, opened: float = 0.0
) -> Value:
    """The shares of questions that the tuned model answers closed book, by kind; that the base
    model answers with retrieval, and the tuned one; and the base model open book.
    """

    def value(arm: str, checkpoint: str, condition: str, question: Question) -> float | None:
        share = {
            ("closed_book", False): {"trained": trained, "held_out": held_out}.get(
                question.kind, 0.0
            ),
            ("closed_book", True): 0.0,
            ("retrieval", True): found,
            ("retrieval", False): both,
            ("open_book", True): opened,
            ("open_book", False): opened,
        }[condition, checkpoint == "base"]
        number = int(question.document_id.removeprefix("d"))
        return float(number % 20 < 20 * share)

    return value


def headline(
    folder: Path, value: Value, language: str = "ja", conditions: tuple[str, ...] = WITH_RETRIEVAL
) -> dict[str, Any]:
    plan = Plan(value, documents=20, judged=False, conditions=conditions)
    found: dict[str, Any] = build_report(write_run(folder / "run", plan), language)["headline"]
    return found


def page_of(folder: Path) -> str:
    return (folder / "run" / "report" / "index.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("language", "taught", "change"),
    [
        ("ja", "言い回しを覚えただけです", "データを多様にする"),
        ("en", "It memorised the wording", "More diverse data"),
    ],
)
def test_a_memorised_wording_asks_for_more_diverse_data(
    tmp_path: Path, language: str, taught: str, change: str
) -> None:
    found = headline(tmp_path, study(1.0, 0.0), language)
    assert found["diagnosis"]["knowledge"] == "memorised_wording"
    assert found["diagnosis"]["remedies"] == ["diverse_data"]
    assert (found["outcome"], found["decision"]) == ("wording_only", "not_yet")
    page = page_of(tmp_path)
    assert '<dl class="diagnosis"' in page
    assert taught in page
    assert change in page


def test_what_did_not_take_asks_for_another_training(tmp_path: Path) -> None:
    found = headline(tmp_path, study(0.0, 0.0))
    assert found["diagnosis"]["knowledge"] == "did_not_take"
    assert "raise_learning_rate" in found["diagnosis"]["remedies"]
    assert found["decision"] == "not_yet"


def test_retrieval_that_does_better_is_what_the_page_advises(tmp_path: Path) -> None:
    found = headline(tmp_path, study(0.3, 0.3, found=1.0, both=1.0, opened=1.0))
    assert found["diagnosis"]["way"] == found["decision"] == "retrieve"
    assert found["sentences"][1].startswith("検索を使うほうが良い結果になりました")
    page = page_of(tmp_path)
    assert '<p class="badge">検索を使うほうがよい</p>' in page
    assert "別に測る必要があります" not in page
    assert "検索そのものは測定していません" not in page
    against = found["diagnosis"]["against"]["instead"]
    assert (against["base"]["value"], against["tuned"]["value"]) == (0.3, 1.0)


def test_where_each_adds_to_the_other_both_are_advised(tmp_path: Path) -> None:
    found = headline(tmp_path, study(0.5, 0.5, found=0.5, both=1.0, opened=0.5), "en")
    assert found["diagnosis"]["way"] == found["decision"] == "both"
    assert found["sentences"][1].startswith("Train and retrieve: ")
    assert "–" not in found["sentences"][1]


def test_training_may_do_better_than_retrieval(tmp_path: Path) -> None:
    found = headline(tmp_path, study(1.0, 1.0, found=0.2, both=1.0, opened=0.5))
    assert (found["decision"], found["diagnosis"]["reason"]) == ("train", "training_better")
    assert "100% 対 20%" in found["sentences"][1]


def test_without_retrieval_the_verdict_decides_and_says_what_was_not_measured(
    tmp_path: Path,
) -> None:
    conditions = ("closed_book", "open_book")
    found = headline(tmp_path, study(0.3, 0.3, opened=1.0), conditions=conditions)
    assert (found["decision"], found["diagnosis"]["reason"]) == ("open_book", "as_before")
    assert found["sentences"][1].endswith("別に測る必要があります。")
    assert "検索そのものは測定していません" in page_of(tmp_path)


def losing(low: float, value: float, high: float) -> Callable[..., Cell]:
    level = Estimate(0.6, 0.5, 0.7, 50, 50, 0)
    lost = Estimate(value, low, high, 50, 50, 0)

    def control_cell(*_: Any) -> Cell:
        return Cell("control", "closed_book", "containment", level, level, lost)

    return control_cell


@pytest.mark.parametrize("language", ["ja", "en"])
def test_what_is_forgotten_takes_back_the_advice_to_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    monkeypatch.setattr(build, "control_cell", losing(-0.3, -0.2, -0.1))
    conditions = ("closed_book", "open_book")
    found = headline(tmp_path, study(1.0, 1.0, opened=0.5), language, conditions)
    assert (found["outcome"], found["decision"]) == ("learnt", "not_yet")
    assert found["diagnosis"]["ability"] == "forgets"
    assert found["diagnosis"]["remedies"] == ["replay"]
    assert "−20" in found["sentences"][1]
    assert "−20" in found["diagnosis"]["said"]["able_figures"]
    lines = summary_lines(build_report_of(tmp_path, language))
    assert any("replay" in line or "リプレイ" in line for line in lines)


def build_report_of(folder: Path, language: str) -> dict[str, Any]:
    from teichaku.core.run_folder import RunFolder

    return build_report(RunFolder(folder / "run"), language)


def test_kept_ability_leaves_the_verdict_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "control_cell", losing(-0.03, 0.0, 0.03))
    conditions = ("closed_book", "open_book")
    found = headline(tmp_path, study(1.0, 1.0, opened=0.5), conditions=conditions)
    assert found["decision"] == "train"
    assert found["diagnosis"]["ability"] == "kept"
    assert found["diagnosis"]["remedies"] == []
    assert "とくにありません。" in page_of(tmp_path)


def test_nothing_is_diagnosed_where_nothing_was_trained(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(study(0.0, 0.0), arms=()))
    assert build_report(run, "ja")["headline"]["diagnosis"] is None


SHARES = (0.0, 0.05, 0.5, 1.0)


@pytest.mark.parametrize("language", ["ja", "en"])
def test_badge_and_second_sentence_are_of_one_mind(tmp_path: Path, language: str) -> None:
    """Whatever was found, the page advises one thing, and has words for it."""
    number = 0
    for held_out in SHARES:
        for found in SHARES:
            for both in (0.05, 1.0):
                number += 1
                value = study(held_out, held_out, found, both, opened=0.5)
                told = headline(tmp_path / str(number), value, language)
                assert told["decision"] == told["diagnosis"]["way"]
                advises_training = told["sentences"][1].startswith(
                    ("学習する価値があります：", "Training is worth it here:")
                )
                assert advises_training == (told["decision"] == "train")
                assert "{" not in told["verdict"]
