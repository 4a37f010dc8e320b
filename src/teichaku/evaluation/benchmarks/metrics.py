"""The metrics of the benchmarks under honest names, each with a version.

A metric of an item takes the reference and the prediction and gives a share from 0 to 1. A metric
of a set takes all of them at once and gives one value, or null where there is none. The version
changes with whatever could change a value, so that two values are compared only where the names
and the versions are the same.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import stats

from teichaku.core.errors import MissingExtraError, UserError
from teichaku.evaluation.scorers import character_f1, llmjp_char_f1

#: What llm-jp-eval 1.3 takes for the number in a reply without one.
PUBLISHED_FAILURE = -2.0

_NOT_OF_A_NUMBER = re.compile(r"[^0-9.]")
#: Two entities of a line are apart by white space behind the bracket that closes the type.
_BETWEEN_ENTITIES = re.compile(r"\n+|(?<=[)）])\s+")
#: Languages whose words are not written apart: characters are the tokens of BLEU.
_BY_CHARACTER = frozenset({"ja", "zh", "ko", "th"})


def exact_match(reference: str, prediction: str) -> float:
    """1 where the two are the same after NFKC: no folding of case, no stripping (llm-jp-eval)."""
    return float(_nfkc(reference) == _nfkc(prediction))


def set_f1(reference: str, prediction: str) -> float:
    """The F1 of lines as llm-jp-eval computes it: predicted lines count once, reference lines as
    often as they stand there.

    A reference with all its items in one line, as in wiki_ner, is one item: then this is the
    equality of whole lines. :func:`entity_f1` reads such a line.
    """
    wanted = [line.strip() for line in _nfkc(reference).split("\n")]
    given = {line.strip() for line in _nfkc(prediction).split("\n")}
    return _f1(
        sum(line in wanted for line in given) / len(given),
        sum(line in given for line in wanted) / len(wanted),
    )


def entity_f1(reference: str, prediction: str) -> float:
    """The F1 of the sets of entities, ``name（type）``, with a line break or white space between
    them. Two empty sets have 1.
    """
    wanted, given = entities(reference), entities(prediction)
    if not wanted or not given:
        return float(wanted == given)
    shared = len(wanted & given)
    return _f1(shared / len(given), shared / len(wanted))


def entities(text: str) -> frozenset[str]:
    """The entities of ``text``, normalised by NFKC."""
    parts = _BETWEEN_ENTITIES.split(_nfkc(text))
    return frozenset(part.strip() for part in parts if part.strip())


def char_rouge2(reference: str, prediction: str) -> float:
    """ROUGE-2 (Lin 2004, F1) with characters in place of words: the F1 of the multisets of two
    neighbouring characters, after NFKC and without white space.

    It is not the ROUGE-2 of words that is published of summaries, which needs a tokenizer, and
    does not compare with it. Two texts without such a pair have 1 where they are the same.
    """
    wanted, given = _character_pairs(reference), _character_pairs(prediction)
    if not wanted and not given:
        return float(_without_space(reference) == _without_space(prediction))
    shared = (wanted & given).total()
    return _f1(shared / max(1, given.total()), shared / max(1, wanted.total()))


def _character_pairs(text: str) -> Counter[str]:
    return Counter(map("".join, pairwise(_without_space(text))))


def _without_space(text: str) -> str:
    return re.sub(r"\s+", "", _nfkc(text))


def number_match(reference: str, prediction: str) -> float:
    """1 where both are the same number, however it is written (``18``, ``18.0``, ``1,800``)."""
    wanted, given = plain_number(reference), plain_number(prediction)
    return float(wanted is not None and wanted == given)


def plain_number(text: str) -> float | None:
    """The number that ``text`` is, after NFKC and without thousands separators; else None."""
    bare = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", _nfkc(text).strip())
    return float(bare) if re.fullmatch(r"[-+]?\d+(?:\.\d+)?", bare) else None


def published_number(text: str) -> float:
    """llm-jp-eval's reading of a number: all but digits and dots dropped, -2 where none is left."""
    try:
        return float(_NOT_OF_A_NUMBER.sub("", text))
    except ValueError:
        return PUBLISHED_FAILURE


def pearson(references: Sequence[str], predictions: Sequence[str]) -> float | None:
    """Pearson's correlation over the pairs whose prediction is a number; null where there are
    fewer than two, or one side is constant. Count the others beside it.
    """
    return _correlation(references, predictions, lambda x, y: stats.pearsonr(x, y).statistic)


def spearman(references: Sequence[str], predictions: Sequence[str]) -> float | None:
    """Spearman's rank correlation, as :func:`pearson`."""
    return _correlation(references, predictions, lambda x, y: stats.spearmanr(x, y).statistic)


def llmjp_pearson(references: Sequence[str], predictions: Sequence[str]) -> float | None:
    """Pearson's correlation as llm-jp-eval 1.3 computes it: a reply without a number is -2, and
    no correlation is 0.
    """
    return _published_correlation(references, predictions, "pearson")


def llmjp_spearman(references: Sequence[str], predictions: Sequence[str]) -> float | None:
    """Spearman's rank correlation, as :func:`llmjp_pearson`."""
    return _published_correlation(references, predictions, "spearman")


def mcc(references: Sequence[str], predictions: Sequence[str]) -> float | None:
    """Matthews' correlation of labels, of any number (Gorodkin 2004, R_K); null where all
    references are the same. 0 where all predictions are: they tell nothing apart. A prediction
    that is no label is a wrong one.
    """
    # As counts: s pairs, of which c agree; each side's labels with how often they stand there.
    pairs = [(_nfkc(one), _nfkc(other)) for one, other in zip(references, predictions, strict=True)]
    wanted, given = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    agree, whole = sum(one == other for one, other in pairs), len(pairs)
    spread = [whole**2 - sum(count**2 for count in side.values()) for side in (wanted, given)]
    if spread[0] == 0:
        return None
    if spread[1] == 0:
        return 0.0
    expected = sum(count * given[label] for label, count in wanted.items())
    return (agree * whole - expected) / math.sqrt(spread[0] * spread[1])


def bleu(references: Sequence[str], predictions: Sequence[str], language: str) -> float | None:
    """BLEU of a set (sacrebleu, whole segments), as a share; null where there is none.

    Japanese, Chinese, Korean and Thai go by characters, others by sacrebleu's ``13a``. This is
    not llm-jp-eval's ``bleu``, where each character is a segment of its own. Raises
    ``MissingExtraError`` where sacrebleu is not installed.
    """
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        raise MissingExtraError("BLEU", "translation") from error
    if not references:
        return None
    tokenize = "char" if language in _BY_CHARACTER else "13a"
    score = BLEU(tokenize=tokenize).corpus_score(list(predictions), [list(references)])
    return float(score.score) / 100


@dataclass(frozen=True)
class Metric:
    """A metric by its name and version: ``of_item`` or ``of_set``, never both."""

    name: str
    version: str
    about: str
    of_item: Callable[[str, str], float] | None = None
    of_set: Callable[[Sequence[str], Sequence[str]], float | None] | None = None

    def best_of(self, references: Sequence[str], prediction: str) -> float:
        """The best value of ``prediction`` over the ``references``, any of which is right."""
        if self.of_item is None:
            raise ValueError(f"{self.name} is a metric of a set")
        return max(self.of_item(reference, prediction) for reference in references)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("exact_match", "1", "the same text after NFKC", exact_match),
        Metric("number_match", "1", "the same number", number_match),
        Metric(
            "llmjp_char_f1",
            "1",
            "what llm-jp-eval calls char_f1: rapidfuzz token_sort_ratio, whole per cent",
            llmjp_char_f1,
        ),
        Metric("char_f1", "2", "F1 of the multisets of characters and symbols", character_f1),
        Metric(
            "set_f1",
            "1",
            "F1 of lines as llm-jp-eval computes it; a reference in one line is one item",
            set_f1,
        ),
        Metric("entity_f1", "1", "F1 of the sets of entities, however they are apart", entity_f1),
        Metric("char_rouge2", "1", "ROUGE-2 of characters in place of words, as F1", char_rouge2),
        Metric("mcc", "1", "Matthews' correlation of labels", None, mcc),
        Metric("pearson", "1", "correlation; replies without a number left out", None, pearson),
        Metric("spearman", "1", "rank correlation; as pearson", None, spearman),
        Metric(
            "llmjp_pearson", "1", "correlation; a reply without a number is -2", None, llmjp_pearson
        ),
        Metric("llmjp_spearman", "1", "rank correlation; as llmjp_pearson", None, llmjp_spearman),
        Metric(
            "bleu_ja", "1", "sacrebleu by characters", None, lambda r, p: bleu(r, p, language="ja")
        ),
        Metric("bleu_en", "1", "sacrebleu 13a", None, lambda r, p: bleu(r, p, language="en")),
    )
}

#: Names of metrics in data set files, and ours for the same thing.
PUBLISHED_NAMES = {
    "char_f1": "llmjp_char_f1",
    "pearson": "llmjp_pearson",
    "spearman": "llmjp_spearman",
}

_NO_ROUGE = "no maintained library computes ROUGE on Japanese text"
#: Metrics of the published sets that are not computed here, and why.
NOT_COMPUTED = {
    "comet_wmt22": "COMET needs a model of 2.3 GB (Unbabel/wmt22-comet-da) and its own package",
    "bert_score_en_f1": "BERTScore needs a model of its own",
    "bert_score_ja_f1": "BERTScore needs a model of its own",
    "code_exec": "code that a model wrote is not run without a sandbox",
    "code_exec_sandbox": "code that a model wrote is not run without a sandbox",
    "pylint_check": "it is a check of style of code that is not run here",
    "rouge1": _NO_ROUGE,
    "rouge2": _NO_ROUGE,
    "rougeLsum": _NO_ROUGE,
    "rouge2_scaling": _NO_ROUGE,
}

#: What marks answers where the metric that is asked for is not computed: ours, by that one's name.
_OURS_INSTEAD = {"rouge2": "char_rouge2", "rouge2_scaling": "char_rouge2"}


def computed_of(wanted: str, others: Sequence[str], published: bool = False) -> Metric:
    """The metric ``wanted``, else the first of the ``others`` that is computed here, or that one
    of ours stands in for.

    Raises ``UserError`` as :func:`metric_of` does for ``wanted``, where there is none.
    """
    if wanted in NOT_COMPUTED:
        for name in (wanted, *others):
            own = PUBLISHED_NAMES.get(name, name) if published else name
            own = _OURS_INSTEAD.get(own, own)
            if own in METRICS:
                return METRICS[own]
    return metric_of(wanted, published)


def metric_of(name: str, published: bool = False) -> Metric:
    """The metric ``name``; where ``published``, by the name that llm-jp-eval gives it.

    Raises ``UserError`` where it is not computed here, or not known.
    """
    own = PUBLISHED_NAMES.get(name, name) if published else name
    if own in METRICS:
        return METRICS[own]
    if name in NOT_COMPUTED:
        raise UserError(
            f"The metric {name} is not computed here: {NOT_COMPUTED[name]}.",
            "Leave the set out. An average (AVR) over a list that has it is then not printed.",
        )
    raise UserError(f"There is no metric '{name}'.", f"Known: {', '.join(sorted(METRICS.keys()))}.")


def _nfkc(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _f1(precision: float, recall: float) -> float:
    total = precision + recall
    return 2 * precision * recall / total if total else 0.0


def _correlation(
    references: Sequence[str],
    predictions: Sequence[str],
    of: Callable[[np.ndarray, np.ndarray], float],
) -> float | None:
    wanted = [plain_number(text) for text in references]
    given = [plain_number(text) for text in predictions]
    pairs = [(x, y) for x, y in zip(wanted, given, strict=True) if x is not None and y is not None]
    if len(pairs) < 2:
        return None
    left, right = np.asarray(pairs, dtype=np.float64).T
    if np.ptp(left) == 0 or np.ptp(right) == 0:
        return None
    return float(of(left, right))


def _published_correlation(
    references: Sequence[str], predictions: Sequence[str], name: str
) -> float | None:
    if len(references) < 2:
        return None
    left = np.asarray([published_number(text) for text in references])
    right = np.asarray([published_number(text) for text in predictions])
    if np.ptp(left) == 0 or np.ptp(right) == 0:
        return 0.0
    of = stats.pearsonr if name == "pearson" else stats.spearmanr
    value = float(of(left, right).statistic)
    return 0.0 if math.isnan(value) else value
