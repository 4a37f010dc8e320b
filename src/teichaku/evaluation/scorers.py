"""Scorers by characters: pure functions of reference and answer, each from 0 to 1."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rapidfuzz import fuzz, utils

from teichaku.core.numerals import NUMERAL_KANJI
from teichaku.core.records import Answer, Judgement, Question, Score
from teichaku.core.text import (
    is_signed,
    marks,
    normalise,
    signed_words,
    stands_in,
    symbol_runs,
    symbols,
    words_apart,
)
from teichaku.evaluation.judging.marks import marks_by_answer

#: A circle that is written as the kanji for zero: no digit stands beside it.
_CIRCLE = re.compile(rf"(?<![\d.・{NUMERAL_KANJI}])〇+(?![\d.・{NUMERAL_KANJI}])")

_OTHER_DIGIT = re.compile(r"[^\D0-9]")


@dataclass(frozen=True, slots=True)
class _Text:
    """A text as the scorers compare it: ``letters`` as :func:`~teichaku.core.text.comparable`
    gives them, its ``symbols``, and for containment ``words`` as
    :func:`~teichaku.core.text.signed_words` gives them.
    """

    text: str
    letters: str
    symbols: str
    words: str

    @property
    def characters(self) -> str:
        return self.letters + self.symbols

    @property
    def runs(self) -> list[str]:
        return symbol_runs(_circled(self.text))


def _circled(text: str) -> str:
    return _CIRCLE.sub(lambda zeros: "○" * len(zeros[0]), text) if "〇" in text else text


def _read(text: str) -> _Text:
    whole = _OTHER_DIGIT.sub(lambda found: str(unicodedata.decimal(found[0])), _circled(text))
    if not (words := words_apart(whole)):
        return _Text(text, "", marks(whole), "")
    signed = signed_words(whole) if is_signed(whole) else words
    return _Text(text, words.replace(" ", ""), "".join(symbols(whole)), signed)


def exact(reference: str, answer: str) -> float:
    """1 where the two are the same but for width, case, spaces, punctuation and the script of
    digits. Symbols count: ○ is not ×, ±3 not 3, ★★ not ★★★.
    """
    return _exact(_read(reference), _read(answer))


def containment(reference: str, answer: str) -> float:
    """1 where the answer holds the reference, standing alone (60分 is not in 160分, 5 not in ≥5, A
    not in A-), and the reference's symbols in their order, as often as they stand together (★★ is
    not in ★★★). 1 where ``exact`` is.
    """
    return _containment(_read(reference), _read(answer))


def character_f1(reference: str, answer: str) -> float:
    """Harmonic mean of precision and recall over the multisets of characters and symbols.

    1 where ``exact`` is. This is the true character F1, not llm-jp-eval's ``char_f1``: that is
    :func:`llmjp_char_f1`.
    """
    return _character_f1(_read(reference), _read(answer))


def llmjp_char_f1(reference: str, answer: str) -> float:
    """What llm-jp-eval calls ``char_f1``, which is no F1 of characters: the token sort ratio of
    fuzzywuzzy in whole per cent, which rapidfuzz gives with its default processor.

    The order of tokens does not count, and two empty texts have 1.
    """
    one, other = (unicodedata.normalize("NFKC", text) for text in (answer, reference))
    return round(fuzz.token_sort_ratio(one, other, processor=utils.default_process)) / 100


def _exact(wanted: _Text, given: _Text) -> float:
    if wanted.characters or given.characters:
        return float((wanted.letters, wanted.symbols) == (given.letters, given.symbols))
    return float(normalise(wanted.text) == normalise(given.text))


def _containment(wanted: _Text, given: _Text) -> float:
    if _exact(wanted, given):
        return 1.0
    if wanted.letters and not stands_in(given.words, wanted.words):
        return 0.0
    if not wanted.symbols:
        return float(bool(wanted.letters))
    looked_for, found = wanted.runs, given.runs
    if not wanted.letters:
        size = len(looked_for)
        places = range(len(found) - size + 1)
        return float(any(found[place : place + size] == looked_for for place in places))
    rest, runs = iter(given.symbols), iter(found)
    return float(
        all(sign in rest for sign in wanted.symbols)
        and all(run in runs for run in looked_for if run[0] in wanted.symbols)
    )


def _character_f1(wanted: _Text, given: _Text) -> float:
    if _exact(wanted, given):
        return 1.0
    wanted_ones, given_ones = Counter(wanted.characters), Counter(given.characters)
    shared = sum((wanted_ones & given_ones).values())
    if shared == 0:
        return 0.0
    return 2 * shared / (wanted_ones.total() + given_ones.total())


SCORERS: dict[str, Callable[[str, str], float]] = {
    "exact": exact,
    "containment": containment,
    "character_f1": character_f1,
    "llmjp_char_f1": llmjp_char_f1,
}
#: The same of texts that were read already.
_OF_READ: dict[str, Callable[[_Text, _Text], float]] = {
    "exact": _exact,
    "containment": _containment,
    "character_f1": _character_f1,
    "llmjp_char_f1": lambda wanted, given: llmjp_char_f1(wanted.text, given.text),
}


def headline_scorer(names: Sequence[str]) -> str:
    """The name, as in :attr:`Score.scorer`, of the scorer that the verdict and the choice of a
    checkpoint go by: the first of a recipe's ``scorers``.
    """
    return "judge" if names[0] == "judge_absolute" else names[0]


def score_answers(
    answers: Iterable[Answer],
    questions: Mapping[str, Question],
    scorers: Iterable[str],
    judgements: Iterable[Judgement] = (),
    judge_scorers: Mapping[str, str] | None = None,
) -> Iterator[Score]:
    """One score a scorer and answer, then one a judge. The value of a failed answer, or of one
    whose marking failed, is null; of several marks by the same judge the median counts. Answers
    that were not judged get no judge score.

    ``judge_scorers`` says what the marks of a judge are called, by its identity; ``judge`` where
    it does not.
    """
    names = [name for name in scorers if name in SCORERS]
    called = judge_scorers or {}
    judged: dict[str, list[tuple[str, float | None]]] = {}
    for (judge, _), given in marks_by_answer(judgements).items():
        for answer_id, mark in given.items():
            judged.setdefault(answer_id, []).append((judge, mark))
    values = _Values(names)
    for answer in answers:
        question = questions[answer.question_id]
        found = [None] * len(names) if answer.error else values(question.reference, answer.text)
        for name, value in zip(names, found, strict=True):
            yield score_row(answer, question, name, value)
        for judge, mark in judged.get(answer.id, ()):
            yield score_row(answer, question, called.get(judge, "judge"), mark)


class _Values:
    """The values of some scorers. Arms answer the same questions, and often alike: each reference
    is read once, and each pair compared once.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._scorers = [_OF_READ[name] for name in names]
        self._references: dict[str, _Text] = {}
        self._known: dict[tuple[str, str], list[float | None]] = {}

    def __call__(self, reference: str, answer: str) -> list[float | None]:
        pair = (reference, answer)
        if pair not in self._known:
            if reference not in self._references:
                self._references[reference] = _read(reference)
            wanted, given = self._references[reference], _read(answer)
            self._known[pair] = [scorer(wanted, given) for scorer in self._scorers]
        return self._known[pair]


def score_row(answer: Answer, question: Question, scorer: str, value: float | None) -> Score:
    """One scorer's value of an answer as a row of the scores."""
    return Score(
        answer.id,
        question.id,
        answer.arm,
        answer.checkpoint,
        answer.condition,
        question.kind,
        question.category,
        question.document_id,
        scorer,
        value,
    )
