"""The metrics have the values that their names promise, and the published ones the published."""

import re
import unicodedata

import pytest
from hypothesis import given
from rapidfuzz import fuzz

from languages import texts
from teichaku.core.errors import MissingExtraError, UserError
from teichaku.evaluation import scorers
from teichaku.evaluation.benchmarks import metrics
from teichaku.evaluation.benchmarks.metrics import METRICS, metric_of
from teichaku.evaluation.benchmarks.rows import items_of


def longest_common_subsequence(left: str, right: str) -> int:
    row = [0] * (len(right) + 1)
    for a in left:
        before = 0
        for place, b in enumerate(right, 1):
            before, row[place] = (
                row[place],
                before + 1 if a == b else max(row[place - 1], row[place]),
            )
    return row[-1]


def token_sort_ratio(prediction: str, gold: str) -> float:
    """The published ratio, written out from its definition: lower case, marks become spaces,
    tokens in order, twice the common subsequence over both lengths, in whole per cent.
    """
    left, right = (
        " ".join(sorted(re.sub(r"[\W]", " ", unicodedata.normalize("NFKC", text)).lower().split()))
        for text in (prediction, gold)
    )
    if not left and not right:
        return 1.0
    return round(200 * longest_common_subsequence(left, right) / (len(left) + len(right))) / 100


def variants(gold: str, other: str) -> list[str]:
    """What models write in the place of ``gold``: nine of them."""
    turned = "・".join(reversed(re.split("[・,、]", gold)))
    return [
        gold,
        other,
        f"{gold}です。",
        f"「{gold}」",
        gold[: len(gold) // 2],
        turned,
        f"{gold}（諸説あり）",
        f"それは{gold}であると考えられます。",
        "",
    ]


@pytest.fixture(scope="module")
def pairs() -> list[tuple[str, str]]:
    golds = [item.references[0] for name in ("niilc", "jemhopqa") for item in items_of(name)]
    others = golds[1:] + golds[:1]
    return [
        (gold, variant)
        for gold, other in zip(golds, others, strict=True)
        for variant in variants(gold, other)
    ]


def test_the_published_char_f1_is_the_token_sort_ratio(pairs: list[tuple[str, str]]) -> None:
    assert len(pairs) == 9 * 318
    wrong = [
        pair for pair in pairs if scorers.llmjp_char_f1(*pair) != token_sort_ratio(*pair[::-1])
    ]
    assert not wrong


def test_the_usual_porting_error_and_the_true_f1_give_other_values(
    pairs: list[tuple[str, str]],
) -> None:
    published = [scorers.llmjp_char_f1(*pair) for pair in pairs]
    unprocessed = [round(fuzz.token_sort_ratio(*pair)) / 100 for pair in pairs]
    true = [METRICS["char_f1"].best_of([pair[0]], pair[1]) for pair in pairs]
    for other in (unprocessed, true):
        assert sum(a != b for a, b in zip(published, other, strict=True)) > 300


def test_order_of_tokens_does_not_count_in_the_published_char_f1() -> None:
    assert scorers.llmjp_char_f1("大阪府・京都府", "京都府・大阪府") == 1
    assert scorers.llmjp_char_f1("", "") == 1
    assert scorers.llmjp_char_f1("東京", "大阪") == 0


@pytest.mark.parametrize(
    ("reference", "prediction", "value"),
    [("２", "2", 1), ("A", "a", 0), ("A", "A.", 0), ("", "", 1), ("ﾊﾟ", "パ", 1)],
)
def test_exact_match_is_equality_after_nfkc_and_nothing_else(
    reference: str, prediction: str, value: float
) -> None:
    assert metrics.exact_match(reference, prediction) == value


def test_set_f1_is_of_lines_with_doubles_of_the_reference_counted() -> None:
    assert metrics.set_f1("甲 positive\n乙 neutral", "乙 neutral\n甲 positive\n甲 positive") == 1
    # One of two lines is right: precision 1/2, recall 1/2.
    assert metrics.set_f1("甲 positive\n乙 neutral", "甲 positive\n丙 neutral") == 0.5
    # The reference has 甲 twice: recall 2/3, precision 1.
    assert metrics.set_f1("甲\n甲\n乙", "甲") == pytest.approx(0.8)


def test_set_f1_takes_a_line_of_entities_for_one_item_and_entity_f1_reads_it() -> None:
    gold = "グリコ（組織名） 大阪市（地名）"
    assert metrics.set_f1(gold, "グリコ（組織名）\n大阪市（地名）") == 0
    assert metrics.entity_f1(gold, "大阪市（地名）\nグリコ（組織名）") == 1
    assert metrics.entity_f1(gold, "グリコ（組織名）") == pytest.approx(2 / 3)
    # A name with a space in it stays whole.
    assert metrics.entities("New York（地名） 東京（地名）") == {"New York(地名)", "東京(地名)"}


def test_all_published_ner_references_are_one_line() -> None:
    golds = [item.references[0] for item in items_of("wiki_ner")]
    assert len(golds) == 113
    assert not any("\n" in gold for gold in golds)
    assert sum(len(metrics.entities(gold)) for gold in golds) / 113 > 5


def test_a_reply_without_a_number_is_left_out_of_ours_and_minus_two_in_theirs() -> None:
    golds, replies = ["0.0", "1.0", "2.0", "3.0"], ["0", "1", "わからない", "3"]
    assert metrics.pearson(golds, replies) == pytest.approx(1)
    assert metrics.spearman(golds, replies) == pytest.approx(1)
    published = metrics.llmjp_pearson(golds, replies)
    assert published is not None
    assert published < 0.7
    assert metrics.published_number("わからない") == -2.0
    assert metrics.published_number("類似度は3.5です") == 3.5


def test_no_correlation_is_null_in_ours_and_zero_in_theirs() -> None:
    assert metrics.pearson(["1", "2"], ["3", "3"]) is None
    assert metrics.spearman(["1", "2"], ["3", ""]) is None
    assert metrics.llmjp_pearson(["1", "2"], ["3", "3"]) == 0
    assert metrics.llmjp_spearman(["1", "2"], ["3", "3"]) == 0


def test_correlations_agree_with_values_computed_by_hand() -> None:
    golds, replies = ["1", "2", "3", "4"], ["1", "3", "2", "4"]
    assert metrics.pearson(golds, replies) == pytest.approx(0.8)
    assert metrics.spearman(golds, replies) == pytest.approx(0.8)
    # A monotone curve: ranks agree and values do not lie on a line.
    assert metrics.spearman(golds, ["1", "10", "100", "1000"]) == pytest.approx(1)


def test_rouge_of_characters_counts_neighbouring_pairs_as_often_as_both_have_them() -> None:
    rouge = metrics.char_rouge2
    # 今日 日は は晴 晴れ against 今日 日は は雨: two of four, two of three.
    assert rouge("今日は晴れ", "今日は雨") == pytest.approx(2 * (1 / 2) * (2 / 3) / (1 / 2 + 2 / 3))
    # ab ba ab ba against ab ba ab: three of four, three of three.
    assert rouge("ababa", "abab") == pytest.approx(6 / 7)
    assert rouge("ＡＢ Ｃ", "A\nBC") == 1
    # The same characters in another order share no pair.
    assert rouge("晴れ", "れ晴") == 0
    assert [rouge("雨", reply) for reply in ("雨", "雪", "", "大雨")] == [1, 0, 0, 0]


def test_matthews_correlation_agrees_with_values_computed_by_hand() -> None:
    # Right 3 and 2, one false alarm, two missed.
    found = metrics.mcc(list("11100011"), list("11100100"))
    assert found == pytest.approx((3 * 2 - 1 * 2) / (4 * 5 * 3 * 4) ** 0.5)
    assert metrics.mcc(list("10"), list("01")) == -1
    # Three labels (Gorodkin): 4 pairs, 3 agree, (4 * 3 - 5) / (16 - 6).
    assert metrics.mcc(list("abca"), list("abcb")) == pytest.approx(0.7)
    # A reply without a label is a wrong one: (2 * 1 - 1) / (4 - 2).
    assert metrics.mcc(["1", "0"], ["１", ""]) == pytest.approx(0.5)
    # The commonest label always is right often, and tells nothing apart.
    assert metrics.mcc(list("1110"), list("1111")) == 0
    assert metrics.mcc(list("11"), list("10")) is None
    assert metrics.mcc([], []) is None


def test_numbers_are_the_same_however_they_are_written() -> None:
    assert metrics.number_match("1800", "１,８００") == 1
    assert metrics.number_match("18", "18.0") == 1
    assert metrics.number_match("18", "18個") == 0
    assert metrics.number_match("18", "-18") == 0


def test_bleu_of_japanese_goes_by_characters_or_says_what_it_needs() -> None:
    golds = ["今日はよい天気ですね。", "明日は雨が降ります。"]
    try:
        same = metrics.bleu(golds, golds, "ja")
    except MissingExtraError as missing:
        assert "translation" in missing.hint
    else:
        assert same == pytest.approx(1)
        near = metrics.bleu(golds, ["今日はいい天気ですね。", "明日は雪が降ります。"], "ja")
        assert near is not None
        assert 0.3 < near < 0.9


@given(texts, texts)
def test_every_metric_of_an_item_is_a_share_and_finds_a_text_in_itself(a: str, b: str) -> None:
    for metric in METRICS.values():
        if metric.of_item is None:
            continue
        assert 0 <= metric.of_item(a, b) <= 1
        if metric.name not in ("number_match", "char_f1"):
            assert metric.of_item(a, a) == 1


def test_a_metric_is_of_items_or_of_sets_and_has_a_version() -> None:
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.version
        assert (metric.of_item is None) != (metric.of_set is None)


def test_the_published_name_char_f1_is_ours_for_the_ratio() -> None:
    assert metric_of("char_f1", published=True).name == "llmjp_char_f1"
    assert metric_of("char_f1").name == "char_f1"


@pytest.mark.parametrize(("name", "why"), [("comet_wmt22", "model"), ("code_exec", "sandbox")])
def test_what_is_not_computed_is_said_by_name(name: str, why: str) -> None:
    with pytest.raises(UserError, match=f"{name} is not computed here.*{why}"):
        metric_of(name, published=True)
    with pytest.raises(UserError, match="no metric 'unheard_of'"):
        metric_of("unheard_of")
