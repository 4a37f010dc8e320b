"""What is said of a loss on control questions, on planted studies in both languages."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from control_run import CHOICE, with_controls
from report_run import Plan, gain, write_run
from teichaku.report.build import build_report, summary_lines
from teichaku.report.forgetting import Replies, loss_of
from teichaku.report.study import Cell
from teichaku.report.tables import Estimate

ARM = "qa@learning_rate=0.001"
SIZE = 160
#: Half of the references are ``1``: always saying so is right half of the time.
REFERENCES = ("1", "0") * (SIZE // 2)
RIGHT = list(REFERENCES)
WRONG = ["0" if one == "1" else "1" for one in REFERENCES]
UNREAD = ["これは飲み物です。"] * SIZE
GUESSES = ["1"] * SIZE


def mixed(*parts: tuple[float, Sequence[str]]) -> list[str]:
    """Of each part its share of the replies."""
    replies: list[str] = []
    for share, texts in parts:
        replies += texts[len(replies) : len(replies) + round(share * SIZE)]
    return replies


#: What the untuned model and the tuned one say, and what was lost.
STUDIES = {
    "ability": (RIGHT, mixed((0.5, RIGHT), (0.5, WRONG))),
    "form": (RIGHT, mixed((0.5, RIGHT), (0.5, UNREAD))),
    "both": (RIGHT, mixed((0.2, RIGHT), (0.4, WRONG), (0.4, UNREAD))),
    "form_of_guesses": (GUESSES, UNREAD),
    "guesses": (GUESSES, mixed((0.2, GUESSES), (0.8, WRONG))),
}


def report_of(folder: Path, name: str, language: str) -> dict[str, Any]:
    before, after = STUDIES[name]
    run = write_run(folder / name, Plan(gain, documents=8))
    said = {("base", "choice"): before, (ARM, "choice"): after}
    with_controls(run, [CHOICE], said, REFERENCES)
    return build_report(run, language)


WORDS = {
    "ability": ("What is lost is an ability:", "能力が失われています。"),
    "form": ("What is lost is the form of answering", "失われたのは答え方です。"),
    "both": ("An ability and the form of answering are both lost", "能力と答え方の両方が失われています。"),
    "form_of_guesses": ("What is seen to be lost is the form", "確かに言えるのは、求められた形式"),
    "guesses": ("Replies in which no answer can be read: 0% before", "答えを読み取れない返答は、学習前が 0%"),
}  # fmt: skip
GUESSING = ("is not shown to beat guessing", "当て推量を上回るとは言えません")


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("name", sorted(STUDIES))
def test_page_summary_and_file_say_what_was_lost(tmp_path: Path, name: str, language: str) -> None:
    report = report_of(tmp_path, name, language)
    found, place = report["headline"]["diagnosis"], ["en", "ja"].index(language)
    assert (found["ability"], found["loss"]) == ("forgets", name)
    is_guess = name in ("form_of_guesses", "guesses")
    assert found["above_guessing"] is not is_guess
    # The decision is the same: other tasks are done worse.
    assert (report["headline"]["decision"], found["reason"]) == ("not_yet", "training_forgets")
    assert found["remedies"] == ["replay", *(["abler_controls"] if is_guess else [])]
    page = (tmp_path / name / "report" / "index.html").read_text("utf-8")
    summary = "\n".join(summary_lines(report))
    for text in (report["headline"]["sentences"][1], found["said"]["able"], page, summary):
        assert WORDS[name][place] in text
        assert (GUESSING[place] in text) == is_guess
        assert "{" not in text or text is page
    told = {other for other, words in WORDS.items() if words[place] in summary}
    assert told == {name}


def test_the_shares_that_cannot_be_read_are_told_with_their_number(tmp_path: Path) -> None:
    report = report_of(tmp_path, "form", "en")
    replies = report["headline"]["diagnosis"]["replies"]
    unread = replies["unread"]
    assert (unread["base"]["value"], unread["tuned"]["value"]) == (0.0, 0.5)
    assert "went from 0% to 50% (160 questions)" in report["headline"]["sentences"][1]
    parts = [replies[name]["value"] for name in ("in_form", "in_answers")]
    assert parts == [-0.5, 0.0]
    assert sum(parts) == report["headline"]["diagnosis"]["controls"]["difference"]["value"]
    assert (replies["readable"], replies["readable_share"]) == (80, 0.5)
    # The commonest answer, and any label blindly, are right half of the time.
    assert replies["floor"] == 0.5


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2])
def test_few_replies_that_can_be_read_rule_out_no_loss(tmp_path: Path, share: float) -> None:
    run = write_run(tmp_path / "run", Plan(gain, documents=8))
    after = mixed((share, RIGHT), (1 - share, UNREAD))
    with_controls(run, [CHOICE], {("base", "choice"): RIGHT, (ARM, "choice"): after}, REFERENCES)
    found = build_report(run, "en")["headline"]["diagnosis"]
    assert found["replies"]["readable"] == round(share * SIZE)
    # No reply that can be read is worse, and so few are no evidence of it.
    assert found["replies"]["in_answers"]["value"] == 0.0
    assert found["replies"]["in_answers"]["low"] >= -0.05
    assert (found["ability"], found["loss"]) == ("forgets", "form_at_least")
    assert "ruled out" not in found["said"]["able"]


@pytest.mark.parametrize("right", [1.0, 0.05])
@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_gain_is_told_where_it_ends_above_guessing(
    tmp_path: Path, language: str, right: float
) -> None:
    # The untuned model is right a little less often than guessing, so that either is a gain.
    before = mixed((0.2, WRONG), (0.8, GUESSES))
    after = mixed((0.6 * right, RIGHT), (1 - 0.6 * right, GUESSES))
    run = write_run(tmp_path / "run", Plan(gain, documents=8))
    with_controls(run, [CHOICE], {("base", "choice"): before, (ARM, "choice"): after}, REFERENCES)
    report, is_told = build_report(run, language), right == 1.0
    found = report["headline"]["diagnosis"]
    assert (found["ability"], found["loss"], found["above_guessing"]) == ("gained", None, False)
    assert found["remedies"] == ([] if is_told else ["abler_controls"])
    page = (run.path / "report" / "index.html").read_text("utf-8")
    text = GUESSING[["en", "ja"].index(language)]
    for place in (found["said"]["able"], page, "\n".join(summary_lines(report))):
        assert (text not in place) is is_told


def test_a_model_that_guesses_has_kept_nothing_that_could_be_seen(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(gain, documents=8))
    said = {("base", "choice"): GUESSES * 5, (ARM, "choice"): GUESSES * 5}
    with_controls(run, [CHOICE], said, REFERENCES * 5)
    found = build_report(run, "en")["headline"]["diagnosis"]
    assert (found["ability"], found["loss"], found["above_guessing"]) == ("kept", None, False)
    assert found["remedies"] == ["abler_controls"]
    assert "General ability is kept" not in found["said"]["able"]
    assert GUESSING[0] in found["said"]["able"]


def test_each_set_says_where_the_untuned_model_guesses(tmp_path: Path) -> None:
    for name, is_above in (("form", True), ("form_of_guesses", False)):
        report = report_of(tmp_path, name, "ja")
        (row,) = [row for row in report["controls"]["changes"] if row["reading"] == "lenient"]
        assert (row["floor"], row["above_guessing"]) == (0.5, is_above)
        page = (tmp_path / name / "report" / "index.html").read_text("utf-8")
        assert ("学習前が当て推量並み（50%）" in page) is not is_above


def part(value: float, low: float, high: float) -> Estimate:
    return Estimate(value, low, high, 100, 50, 0)


BEFORE = part(0.6, 0.5, 0.7)
SAME = part(0.0, -0.04, 0.04)
NONE = part(0.0, -0.03, 0.03)
LOST = part(-0.3, -0.4, -0.2)
WIDE = part(-0.1, -0.25, 0.05)
MORE = part(0.4, 0.3, 0.5)


@pytest.mark.parametrize(
    ("floor", "unread", "answers", "loss"),
    [
        (0.4, MORE, NONE, "form"),
        # Within the limit of all items, and not within that of the 60 that can be read.
        (0.4, MORE, SAME, "form_at_least"),
        (0.4, MORE, WIDE, "form_at_least"),
        (0.4, MORE, LOST, "both"),
        (0.4, SAME, LOST, "ability"),
        (0.4, SAME, WIDE, "untold"),
        (0.4, SAME, SAME, "untold"),
        # The interval of the untuned model begins at 0.5.
        (0.5, MORE, LOST, "form_of_guesses"),
        (0.5, SAME, LOST, "guesses"),
    ],
)
def test_what_was_lost_goes_by_what_can_be_read(
    floor: float, unread: Estimate, answers: Estimate, loss: str
) -> None:
    cell = Cell("control", "closed_book", "unread", SAME, MORE, unread)
    assert loss_of(BEFORE, Replies(floor, cell, WIDE, answers, 60, 0.6), 0.05) == loss


@pytest.mark.parametrize(("readable", "loss"), [(9, "form_at_least"), (10, "form")])
def test_no_ability_is_called_kept_by_fewer_than_ten_replies(readable: int, loss: str) -> None:
    cell = Cell("control", "closed_book", "unread", SAME, MORE, MORE)
    assert loss_of(BEFORE, Replies(0.4, cell, WIDE, NONE, readable, 1.0), 0.05) == loss
