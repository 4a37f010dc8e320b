"""Scores of examples under a language model. What becomes of an example by its score is not
decided here, so that a band or a share can be moved without asking the model again.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import isfinite

from teichaku.core.models import LanguageModel, ScoredText, TokenScores
from teichaku.core.records import Example, ExampleScore
from teichaku.curation.instruction_following_difficulty import loss_ratio, perplexity_ratio
from teichaku.curation.minimum_k import (
    mean_log_probability,
    minimum_k,
    minimum_k_plus_plus,
    zlib_ratio,
)
from teichaku.curation.perplexity import bits_per_byte, perplexity_per_character

#: Scores of a text, by name: of its tokens, the text, and the share k of Min-K%.
TEXT_SCORES: Mapping[str, Callable[[TokenScores, str, float], float | None]] = {
    "perplexity": lambda scores, text, k: perplexity_per_character(scores),
    "bits_per_byte": lambda scores, text, k: bits_per_byte(scores, text),
    "mean_log_probability": lambda scores, text, k: mean_log_probability(scores),
    "minimum_k": lambda scores, text, k: minimum_k(scores, k),
    "minimum_k_plus_plus": lambda scores, text, k: minimum_k_plus_plus(scores, k),
    "zlib_ratio": lambda scores, text, k: zlib_ratio(scores, text),
}

#: Scores of an answer after its question, and alone.
PAIR_SCORES: Mapping[str, Callable[[TokenScores, TokenScores], float | None]] = {
    "ifd_loss_ratio": loss_ratio,
    "ifd_perplexity_ratio": perplexity_ratio,
}

_NEEDS_MOMENTS = "minimum_k_plus_plus"

#: What the model is asked for one record, by what it is for.
_Parts = Mapping[str, ScoredText]


def score_examples(
    examples: Iterable[Example],
    model: LanguageModel,
    names: Sequence[str],
    prompt: str = "{question}\n",
    k: float = 0.2,
) -> Iterator[ExampleScore]:
    """Every score of ``names`` of every example, streaming, in their order.

    An example is read as ``prompt``, with its question in the place of ``{question}``, and its
    answer behind it; running text is read as it is, and has no IFD. ``k`` is the share of
    Min-K%. Raises ``ValueError`` for a name that is none, or a prompt without a place for the
    question.
    """
    if "{question}" not in prompt:
        raise ValueError(f"the prompt {prompt!r} has no place for the {{question}}")

    def parts(example: Example) -> _Parts:
        before = "" if example.is_text else prompt.replace("{question}", example.asked)
        wanted = {}
        if not TEXT_SCORES.keys().isdisjoint(names):
            wanted["whole"] = ScoredText(before + example.answer)
        if not PAIR_SCORES.keys().isdisjoint(names) and not example.is_text:
            wanted["after"] = ScoredText(example.answer, before)
            wanted["alone"] = ScoredText(example.answer)
        return wanted

    return _score(((e.id, parts(e)) for e in examples), model, names, k)


def score_texts(
    texts: Iterable[tuple[str, str]], model: LanguageModel, names: Sequence[str], k: float = 0.2
) -> Iterator[ExampleScore]:
    """The same of any ``texts`` with their ids, passages for one."""
    return _score(((i, {"whole": ScoredText(text)}) for i, text in texts), model, names, k)


def values_of(scores: Iterable[ExampleScore], name: str) -> dict[str, float | None]:
    """The values of the score ``name`` by id, as the selectors take them."""
    return {score.example_id: score.value for score in scores if score.score == name}


def _score(
    records: Iterable[tuple[str, _Parts]],
    model: LanguageModel,
    names: Sequence[str],
    k: float,
) -> Iterator[ExampleScore]:
    unknown = set(names) - TEXT_SCORES.keys() - PAIR_SCORES.keys()
    if unknown:
        known = ", ".join([*TEXT_SCORES, *PAIR_SCORES])
        raise ValueError(f"there is no score {', '.join(sorted(unknown))}; there are {known}")
    waiting: deque[tuple[str, _Parts]] = deque()

    def asked() -> Iterator[ScoredText]:
        for record in records:
            waiting.append(record)
            yield from record[1].values()

    def results() -> Iterator[ExampleScore]:
        found: list[TokenScores] = []
        for scores in model.token_log_probabilities(asked(), _NEEDS_MOMENTS in names):
            found.append(scores)
            while waiting and len(found) >= len(waiting[0][1]):
                yield from _scores_of(*waiting.popleft(), found, names, k)
        while waiting:
            yield from _scores_of(*waiting.popleft(), found, names, k)

    return results()


def _scores_of(
    example_id: str, parts: _Parts, found: list[TokenScores], names: Sequence[str], k: float
) -> Iterator[ExampleScore]:
    """The scores of one record, whose results are taken from the front of ``found``."""
    own = dict(zip(parts, found, strict=False))
    del found[: len(parts)]
    for name in names:
        used = [own[part] for part in _used(name) if part in own]
        cut = sum(scores.cut for scores in used)
        value: float | None = None
        error = next((scores.error for scores in used if scores.error), "")
        if not used:
            error = "running text has no question"
        elif not error:
            value, error = _value(name, parts, own, k)
        yield ExampleScore(example_id, name, value, error, cut)


def _used(name: str) -> tuple[str, ...]:
    return ("whole",) if name in TEXT_SCORES else ("after", "alone")


def _value(
    name: str, parts: _Parts, own: Mapping[str, TokenScores], k: float
) -> tuple[float | None, str]:
    """The score and, where there is none, why."""
    if name in PAIR_SCORES:
        value = PAIR_SCORES[name](own["after"], own["alone"])
    else:
        value = TEXT_SCORES[name](own["whole"], parts["whole"].text, k)
    if value is not None and isfinite(value):
        return value, ""
    if any(not len(own[part].log_probabilities) for part in _used(name)):
        return None, "no token of it could be scored"
    if name == _NEEDS_MOMENTS and own["whole"].means is None:
        return None, "the language model gives no means and deviations"
    return None, "its tokens give no number"
