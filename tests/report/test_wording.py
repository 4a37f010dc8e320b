"""Both languages say the same things, and numbers are written as people read them."""

import string
from typing import Any, get_args

import pytest

from teichaku.core.records import QuestionKind
from teichaku.report.tables import ALL_KINDS, KINDS, SCORERS
from teichaku.report.wording import Wording, columns, languages, load_words, padded


def leaves(words: Any, path: str = "") -> dict[str, set[str]]:
    """The placeholders of every text by its path."""
    if isinstance(words, dict):
        found: dict[str, set[str]] = {}
        for name, part in words.items():
            found |= leaves(part, f"{path}.{name}")
        return found
    return {path: {name for _, name, _, _ in string.Formatter().parse(str(words)) if name}}


def test_the_report_speaks_japanese_and_english() -> None:
    assert languages() == ["en", "ja"]


def test_both_languages_have_the_same_texts_with_the_same_placeholders() -> None:
    english, japanese = leaves(load_words("en")), leaves(load_words("ja"))
    assert english.keys() == japanese.keys()
    assert {path: names for path, names in english.items() if names != japanese[path]} == {}


@pytest.mark.parametrize("language", ["th", "", "../en", "/etc/passwd"])
def test_a_language_without_words_gets_english(language: str) -> None:
    assert Wording(language).language == "en"


def test_shares_are_per_cent_and_marks_keep_a_decimal() -> None:
    words = Wording("en")
    assert words.share(0.614, "containment") == "61%"
    assert words.share(6.25, "judge") == "6.2"
    assert words.share(None, "judge") == "–"
    assert [words.told(0.614, "exact"), words.told(6.25, "judge")] == ["61%", "6.2 of 10"]
    assert words.distance(0.1, "exact") == "10 pts"
    assert words.distance(0.9, "judge") == "0.9 marks"


def test_a_change_carries_its_sign_and_zero_carries_none() -> None:
    words = Wording("en")
    assert words.change({"value": 0.126}, "containment") == "+13 pts"
    assert words.change({"value": -0.126}, "containment") == "−13 pts"
    assert words.change({"value": -0.001}, "containment") == "0 pts"
    assert words.change({"value": 1.26}, "judge") == "+1.3 marks"


def test_a_further_judge_is_named_and_explained() -> None:
    names = [Wording(language).label("scorers", "judge:first") for language in ("ja", "en")]
    assert names == ["審査モデル（first）", "Judge (first)"]
    words = Wording("en")
    assert words.label("control_metrics", "judge:first") == "Judge (first)"
    assert words.label("scorers_help", "judge:first") == words.label("scorers_help", "judge")


def test_missing_values_are_told_apart_from_those_that_count() -> None:
    words = Wording("en")
    assert words.size({"n": 1200, "documents": 8, "failed": 0}) == (
        "1,200 questions about 8 documents"
    )
    assert words.size({"n": 12, "documents": 6, "failed": 3}).endswith("documents, 3 missing")


@pytest.mark.parametrize("language", languages())
def test_every_kind_of_question_and_scorer_has_words(language: str) -> None:
    words = Wording(language)
    kinds = {*get_args(QuestionKind), ALL_KINDS}
    for group in ("kinds", "kinds_help", "kinds_in_sentence"):
        assert words.names(group) == kinds
    for group in ("scorers", "scorers_help", "scorers_in_sentence"):
        assert words.names(group) == set(SCORERS)
    assert set(KINDS) == set(get_args(QuestionKind))


def test_durations_use_the_unit_that_people_would() -> None:
    words = Wording("en")
    assert [words.duration(value) for value in (0.25, 75, 3 * 3600 + 120, None)] == [
        "0.2 s",
        "1 min 15 s",
        "3 h 2 min",
        "–",
    ]


def test_wide_letters_take_two_columns() -> None:
    assert columns("値段 F1") == 7
    assert [columns(padded(text, 10)) for text in ("値段", "price")] == [10, 10]
