from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages import SENTENCES, texts
from made import example
from teichaku.backends.ngram_language_model import NgramLanguageModel
from teichaku.core.models import LanguageModel, ScoredText, TokenScores
from teichaku.core.records import Example, ExampleScore
from teichaku.curation.instruction_following_difficulty import loss_ratio, perplexity_ratio
from teichaku.curation.minimum_k import minimum_k_plus_plus
from teichaku.curation.perplexity import perplexity_per_character
from teichaku.curation.scoring import (
    PAIR_SCORES,
    TEXT_SCORES,
    score_examples,
    score_texts,
    values_of,
)

EVERY = [sentence for group in SENTENCES.values() for sentence in group]
NGRAMS = NgramLanguageModel(EVERY)
ALL = [*TEXT_SCORES, *PAIR_SCORES]


@dataclass
class Given:
    """Answers as told to, and keeps what it was asked."""

    answers: list[TokenScores]
    asked: list[ScoredText] = field(default_factory=list)
    identity: str = "given"

    def token_log_probabilities(
        self, texts: Iterable[ScoredText], moments: bool = False
    ) -> Iterator[TokenScores]:
        for text in texts:
            self.asked.append(text)
            yield self.answers.pop(0)


def tokens(*values: float, end: int = 1, cut: int = 0, error: str = "") -> TokenScores:
    return TokenScores(np.array(values, np.float32), cut=cut, end=end, error=error)


def found(
    examples: list[Example], model: LanguageModel, names: list[str], prompt: str = "{question}\n"
) -> dict[tuple[str, str], ExampleScore]:
    scores = list(score_examples(examples, model, names, prompt))
    assert [(one.example_id, one.score) for one in scores] == [
        (one.id, name) for one in examples for name in names
    ]
    return {(score.example_id, score.score): score for score in scores}


def test_an_example_is_read_as_its_question_and_its_answer() -> None:
    pair = example("定員は？", "48人", input="あおば丸")
    text = example("", "船体は檜でできている。")
    model = Given([tokens(-1.0)] * 4)
    found([pair, text], model, ["perplexity", "ifd_loss_ratio"], prompt="問：{question}\n答：")
    before = "問：定員は？\n\nあおば丸\n答："
    assert model.asked == [
        ScoredText(before + "48人"),
        ScoredText("48人", before),
        ScoredText("48人"),
        ScoredText("船体は檜でできている。"),
    ]


def test_the_scores_are_those_of_their_functions() -> None:
    pair = example("この遊覧船は？", "一九八七年に造られた。")
    scores = found([pair], NGRAMS, ALL)
    before = "この遊覧船は？\n"
    whole, after, alone = NGRAMS.token_log_probabilities(
        [
            ScoredText(before + pair.answer),
            ScoredText(pair.answer, before),
            ScoredText(pair.answer),
        ],
        moments=True,
    )
    expected = {
        "perplexity": perplexity_per_character(whole),
        "minimum_k_plus_plus": minimum_k_plus_plus(whole),
        "ifd_loss_ratio": loss_ratio(after, alone),
        "ifd_perplexity_ratio": perplexity_ratio(after, alone),
    }
    for name, value in expected.items():
        assert scores[pair.id, name] == ExampleScore(pair.id, name, value)


def test_running_text_has_no_ifd_and_says_so() -> None:
    texts = [example("", "船。"), example("", "檜。"), example("問？", "答")]
    scores = found(texts, NGRAMS, ["ifd_loss_ratio"])
    for text in texts[:2]:
        one = scores[text.id, "ifd_loss_ratio"]
        assert one.value is None
        assert one.error == "running text has no question"
    assert scores[texts[2].id, "ifd_loss_ratio"].value is not None
    assert values_of(scores.values(), "ifd_loss_ratio").keys() == {text.id for text in texts}


def test_a_score_that_failed_is_null_and_says_why() -> None:
    examples = [example(f"問{at}", "答") for at in range(3)]
    empty = tokens(end=0)
    model = Given(
        [
            *(tokens(error="HTTP 500"), tokens(-1.0), tokens(-2.0)),
            *(tokens(-1.0), empty, tokens(-2.0, cut=3)),
            *(tokens(-1.0, cut=2), tokens(-1.0, cut=2), tokens(-2.0, cut=1)),
        ]
    )
    scores = found(examples, model, ["minimum_k_plus_plus", "perplexity", "ifd_loss_ratio"])
    first, second, third = (one.id for one in examples)
    assert scores[first, "perplexity"] == ExampleScore(first, "perplexity", None, "HTTP 500")
    assert scores[first, "ifd_loss_ratio"].value == pytest.approx(0.5)
    lost = scores[second, "ifd_loss_ratio"]
    assert (lost.value, lost.error, lost.cut) == (None, "no token of it could be scored", 3)
    assert "no means" in scores[second, "minimum_k_plus_plus"].error
    assert scores[third, "ifd_loss_ratio"].cut == 3
    assert scores[third, "perplexity"].cut == 2


def test_examples_are_pulled_as_scores_are_taken() -> None:
    pulled = []

    def examples() -> Iterator[Example]:
        for at in range(9):
            pulled.append(at)
            yield example(f"問{at}", "答")

    stream = score_examples(examples(), NGRAMS, ["perplexity"])
    next(stream)
    assert pulled == [0]


@given(st.lists(st.tuples(st.text(max_size=3), texts), max_size=6))
def test_any_text_has_every_score_or_says_why(items: list[tuple[str, str]]) -> None:
    scores = list(score_texts(items, NGRAMS, list(TEXT_SCORES)))
    assert [one.example_id for one in scores] == [i for i, _ in items for _ in TEXT_SCORES]
    assert all((one.value is None) == bool(one.error) for one in scores)
    asked = [text for _, text in items for _ in TEXT_SCORES]
    assert all((one.value is None) == (not text) for one, text in zip(scores, asked, strict=True))


def test_what_is_no_score_or_no_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="no score ifd;"):
        list(score_examples([], NGRAMS, ["ifd"]))
    with pytest.raises(ValueError, match="no place"):
        list(score_examples([], NGRAMS, ["perplexity"], "問："))
