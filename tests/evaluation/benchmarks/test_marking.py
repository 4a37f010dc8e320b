"""Draws, marks, rates and floors: what is asked, and what the figures of a set mean."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teichaku.core.errors import UserError
from teichaku.core.records import Answer
from teichaku.evaluation.benchmarks.averages import (
    AverageList,
    average_list,
    averages,
    category_means,
)
from teichaku.evaluation.benchmarks.marking import (
    Marked,
    majority_floor,
    mark,
    mark_as_published,
    outside_of_labels,
    random_floor,
    scores,
    summarise,
)
from teichaku.evaluation.benchmarks.metrics import METRICS
from teichaku.evaluation.benchmarks.prepared import prepare
from teichaku.evaluation.benchmarks.rows import Item, items_of
from teichaku.evaluation.benchmarks.sampling import apart, first, stratified

EXACT = METRICS["exact_match"]


def answer(item: Item, text: str, error: str = "") -> Answer:
    return Answer(
        f"a-{item.question.id}", item.question.id, "base", "base", "closed_book", text, error=error
    )


def test_the_first_hundred_of_jsquad_are_of_one_article_and_a_draw_is_of_all() -> None:
    items = items_of("jsquad")
    assert len({item.question.document_id for item in first(items)}) == 1
    drawn = stratified(items, 100, seed=0)
    assert len({item.question.document_id for item in drawn}) == 4
    assert first(items, -1) == items


@pytest.mark.parametrize("name", ["jsem", "janli", "jsick"])
def test_a_draw_has_the_shares_of_the_labels(name: str) -> None:
    items = items_of(name)
    drawn = stratified(items, 50, seed=7)
    assert len(drawn) == 50
    whole = Counter(item.question.reference for item in items)
    part = Counter(item.question.reference for item in drawn)
    for label, count in whole.items():
        assert abs(part[label] - 50 * count / len(items)) < 1


@given(seed=st.integers(0, 10**6), count=st.integers(1, 499))
def test_a_draw_does_not_depend_on_the_order_of_items(seed: int, count: int) -> None:
    items = items_of("jnli")[:60]
    drawn = {item.question.id for item in stratified(items, count, seed)}
    turned = {item.question.id for item in stratified(items[::-1], count, seed)}
    assert drawn == turned
    assert len(drawn) == min(count, 60)


def test_other_seeds_draw_other_items_and_every_item_is_drawn_as_often() -> None:
    items = items_of("jmmlu")[:40]
    drawn = Counter(item.question.id for seed in range(400) for item in stratified(items, 10, seed))
    # Of 400 draws of a quarter each item is in a hundred: five standard deviations are 43.
    assert len(drawn) == 40
    assert all(abs(count - 100) < 45 for count in drawn.values())


def test_documents_have_their_shares() -> None:
    items = items_of("jsquad")
    drawn = stratified(items, 100, seed=3)
    whole = Counter(item.question.document_id for item in items)
    part = Counter(item.question.document_id for item in drawn)
    assert all(abs(part[name] - count / 5) < 1 for name, count in whole.items())


def test_turns_are_drawn_together() -> None:
    drawn = stratified(items_of("mt_bench_ja"), 8, seed=0)
    assert len(drawn) == 16
    assert Counter(item.question.category for item in drawn) == dict.fromkeys(
        ("coding", "extraction", "humanities", "math", "reasoning", "roleplay", "stem", "writing"),
        2,
    )


def test_what_is_shown_as_an_example_is_not_asked() -> None:
    shots, rest = apart(items_of("jsquad"), 4, seed=0)
    shown = {shot.input.split("\n質問：")[0] for shot in shots}
    assert len(shots) == len(shown) == 4
    assert not any(item.question.question.split("\n質問：")[0] in shown for item in rest)
    with pytest.raises(UserError, match="cannot give 3 examples"):
        apart(items_of("niilc")[:2], 3, seed=0)


@pytest.mark.parametrize("name", ["jsquad", "jnli", "jcola", "mawps", "wiki_ner", "jmmlu"])
def test_a_prepared_set_never_asks_what_it_shows(name: str) -> None:
    of = prepare(name, count=50)
    shown = {shot.input for shot in of.asking.shots}
    assert len(shown) == len(of.asking.shots) == 4
    assert len(of.items) == 50
    assert not shown & {item.question.question for item in of.items}


def test_a_stand_in_says_that_it_is_one() -> None:
    assert any("stands in for chabsa" in note for note in prepare("ner_wikipedia").notes)
    assert any("do not train on them" in note for note in prepare("ja_vicuna_qa").notes)


def jnli() -> list[Item]:
    return items_of("jnli")[:6]


def test_strict_and_lenient_stand_side_by_side_with_their_rates() -> None:
    items = jnli()
    right = [item.question.reference for item in items]
    replies = [right[0], f"{right[1]}です。", "わかりません。", "", f"\n\n{right[4]}"]
    marked = [
        mark(item, answer(item, reply), "choice", EXACT)
        for item, reply in zip(items, replies, strict=False)
    ]
    marked.append(mark(items[5], answer(items[5], "", error="down"), "choice", EXACT))
    of = summarise("jnli", marked, EXACT, "match")
    assert (of.asked, of.failed, of.identity) == (6, 1, "match")
    assert of.strict is not None
    assert of.lenient is not None
    assert of.strict.n == 5
    assert of.strict.value == pytest.approx(1 / 5)
    assert of.lenient.value == pytest.approx(3 / 5)
    assert of.empty == pytest.approx(1 / 5)
    assert of.unread_strict == pytest.approx(4 / 5)
    assert of.unread_lenient == pytest.approx(2 / 5)
    assert outside_of_labels(marked) == {"jnli": 4}
    assert outside_of_labels(marked, lenient=True) == {"jnli": 2}
    assert of.random == pytest.approx(1 / 3)


def test_a_failed_request_is_null_and_a_reply_without_an_answer_is_wrong() -> None:
    item = jnli()[0]
    failed = mark(item, answer(item, "", error="down"), "choice", EXACT)
    assert (failed.strict_value, failed.lenient_value) == (None, None)
    mute = mark(item, answer(item, "わかりません"), "choice", EXACT)
    assert (mute.strict_value, mute.lenient_value) == (0, 0)


def test_the_published_marking_reads_once_and_knows_one_reference() -> None:
    item = items_of("jsquad")[0]
    assert item.references == ("小笠原諸島", "小笠原諸島を除く日本")
    ratio = METRICS["llmjp_char_f1"]
    second = answer(item, item.references[1])
    assert mark(item, second, "span", ratio).strict_value == 1
    published = mark_as_published(item, second, ratio)
    assert published.strict_value is not None
    assert published.strict_value < 1
    assert mark_as_published(item, answer(item, "\n\n小笠原諸島"), ratio).strict_value == 0
    by_pattern = mark_as_published(item, answer(item, "答え：小笠原諸島"), ratio, r"答え：(.*)")
    assert by_pattern.strict_value == 1


def test_as_published_what_is_no_label_is_wrong_and_unread() -> None:
    item = items_of("jnli")[0]
    for text, is_read in ((item.references[0], True), ("分かりません", False), ("", False)):
        found = mark_as_published(item, answer(item, text), EXACT)
        assert (found.strict is not None, found.strict_value) == (is_read, float(is_read))
    # A label is compared as the answer is: normalised.
    wide = replace(item, references=("１",), labels=("１", "２"))
    for text, is_read in (("１", True), ("2", True), ("３", False)):
        found = mark_as_published(wide, answer(wide, text), EXACT)
        assert (found.strict is not None) is is_read
    # Where there are no labels, any text is read.
    free = items_of("niilc")[0]
    assert mark_as_published(free, answer(free, "分かりません"), EXACT).strict == "分かりません"


def test_floors_are_of_the_items_that_were_asked() -> None:
    items = items_of("jsem")
    assert majority_floor(items, EXACT) == pytest.approx(339 / 500)
    assert random_floor(items) == pytest.approx(1 / 4)
    assert random_floor(items_of("niilc")) is None
    assert majority_floor([], EXACT) is None
    assert majority_floor(items, METRICS["pearson"]) is None


def test_a_correlation_is_of_the_set_and_leaves_out_what_is_no_number() -> None:
    items = items_of("jsts")[:4]
    replies = [items[0].question.reference, items[1].question.reference, "似ている", "5"]
    metric = METRICS["pearson"]
    marked = [
        mark(item, answer(item, reply), "number", metric)
        for item, reply in zip(items, replies, strict=True)
    ]
    of = summarise("jsts", marked, metric)
    assert of.strict is not None
    assert of.strict.low is None
    assert -1 <= of.strict.value <= 1
    assert of.unread_strict == pytest.approx(1 / 4)
    assert scores(marked[0], answer(items[0], "0"), metric) == []


def test_intervals_are_over_documents() -> None:
    items = items_of("jsquad")[:100]
    marked = [mark(item, answer(item, item.references[0]), "span", EXACT) for item in items]
    # All of one article: there is nothing to compare, whatever the number of questions.
    of = summarise("jsquad", marked, EXACT)
    assert of.strict is not None
    assert (of.strict.low, of.strict.high) == (None, None)
    apart_ = [
        replace(
            row, item=replace(row.item, question=replace(row.item.question, document_id=str(n)))
        )
        for n, row in enumerate(marked)
    ]
    wide = summarise("jsquad", apart_, EXACT).strict
    assert wide is not None
    assert wide.low is not None
    assert wide.low > 0.9


def test_values_become_rows_of_the_scores() -> None:
    item = jnli()[0]
    given_ = answer(item, f"{item.question.reference}です")
    strict, lenient = scores(mark(item, given_, "choice", EXACT), given_, EXACT)
    assert (strict.scorer, strict.value) == ("exact_match", 0)
    assert (lenient.scorer, lenient.value) == ("exact_match_lenient", 1)
    assert (strict.question_kind, strict.document_id) == ("control", item.question.document_id)


def test_no_answers_have_no_figures() -> None:
    of = summarise("jnli", [], EXACT)
    assert (of.strict, of.empty, of.majority, of.random) == (None, None, None, None)
    only_failed = [Marked(jnli()[0], failed=True, empty=False)]
    assert summarise("jnli", only_failed, EXACT).strict is None


def test_the_average_of_1_3_is_the_mean_of_nine_categories() -> None:
    of = average_list("1.3")
    assert sorted(of.categories) == ["EL", "FA", "HE", "MC", "MR", "MT", "NLI", "QA", "RC"]
    assert len(of.sets) == 22
    assert of.sets["jemhopqa"] == "llmjp_char_f1"
    assert "jsts" not in of.sets
    values: dict[str, float | None] = dict.fromkeys(of.sets, 0.5)
    values["jsquad"] = 0.95
    found = averages(values, of)
    assert found.categories["RC"] == 0.95
    assert found.average == pytest.approx((8 * 0.5 + 0.95) / 9)
    # One of five sets of a category weighs a fifth of one that is alone in its own.
    values["jamp"] = 0.95
    assert averages(values, of).average - found.average == pytest.approx(0.45 / 5 / 9)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"jamp": "gone"}, "missing: jamp"),
        ({"jsts": 0.5}, "not in it: jsts"),
        ({"niilc": None}, "without a value: niilc"),
        ({"niilc": float("nan")}, "without a value: niilc"),
    ],
)
def test_there_is_no_average_over_another_list_of_sets(
    change: dict[str, float | str | None], said: str
) -> None:
    of = average_list("1.3")
    values: dict[str, float | None] = dict.fromkeys(of.sets, 0.5)
    for name, value in change.items():
        if isinstance(value, str):
            del values[name]
        else:
            values[name] = value
    with pytest.raises(UserError, match=said):
        averages(values, of)


def test_a_category_with_a_missing_part_is_null_and_neither_zero_nor_the_rest() -> None:
    of = AverageList(
        "own", {"NLI": {"jamp": "exact_match", "jnli": "exact_match"}, "CG": {"x": "y"}}
    )
    assert category_means({"jamp": 1.0, "jnli": None, "x": 0.25}, of) == {"NLI": None, "CG": 0.25}
    assert category_means({"jamp": 1.0, "jnli": 0.5}, of) == {"NLI": 0.75, "CG": None}


def test_versions_have_lists_of_their_own_and_unknown_ones_none() -> None:
    newer = average_list("1.4.1")
    assert {"CG", "SUM"} <= newer.categories.keys()
    assert len(newer.categories) == 11
    assert "second hand" in newer.note
    with pytest.raises(UserError, match=r"llm-jp-eval 2\.1\.3 is not known"):
        average_list("2.1.3")
