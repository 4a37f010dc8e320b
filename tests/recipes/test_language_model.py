from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from made import passage
from studies import write_data_study
from teichaku.backends.ngram_language_model import NgramLanguageModel
from teichaku.backends.transformers_log_probabilities import TransformersLanguageModel
from teichaku.core.errors import UserError
from teichaku.core.models import LanguageModel, ScoredText
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Passage
from teichaku.core.run_folder import RunFolder
from teichaku.recipes.load import load_recipe
from teichaku.recipes.progress import Silent
from teichaku.recipes.workshop import Workshop
from tiny_student import make_model


@contextmanager
def workshop_of(tmp_path: Path, **changes: Any) -> Iterator[Workshop]:
    recipe = load_recipe(write_data_study(tmp_path, **changes))
    workshop = Workshop(
        recipe, PromptPack("ja"), Silent(), tmp_path / "cache.sqlite", tmp_path / "run"
    )
    try:
        yield workshop
    finally:
        workshop.close()


def scored(model: LanguageModel, text: str) -> int:
    (found,) = model.token_log_probabilities([ScoredText(text)])
    return len(found.log_probabilities)


def with_passages(tmp_path: Path, *texts: str) -> None:
    stage = RunFolder(tmp_path / "run").stage("documents")
    stage.write("passages", Passage, [passage(text) for text in texts])


def test_without_a_student_with_weights_characters_of_the_documents_are_counted(
    tmp_path: Path,
) -> None:
    with_passages(tmp_path, "船は檜。", "船は杉。")
    with workshop_of(tmp_path) as workshop:
        model = workshop.language_model
        assert isinstance(model, NgramLanguageModel)
        assert scored(model, "船は松") == 3
        assert model is workshop.language_model
        card = workshop.cards["language_model"]
        assert (card.role, card.identity) == ("language_model", model.identity)
    with workshop_of(tmp_path, language_model={"backend": "ngram", "order": 2}) as workshop:
        assert workshop.language_model.identity != model.identity


def test_n_grams_of_no_documents_are_a_mistake_of_the_user(tmp_path: Path) -> None:
    with workshop_of(tmp_path) as workshop, pytest.raises(UserError, match="no text"):
        _ = workshop.language_model


def test_the_student_is_the_language_model_where_it_has_weights(tmp_path: Path) -> None:
    folder = str(make_model(tmp_path / "tiny"))
    student = {"backend": "transformers", "model": folder}
    with workshop_of(tmp_path, student=student) as workshop:
        model = workshop.language_model
        assert isinstance(model, TransformersLanguageModel)
        assert scored(model, "船") == 3
        assert {card.role for card in workshop.cards.values()} == {"student"}
    other = {"backend": "transformers", "model": folder, "licence": "mit"}
    with workshop_of(tmp_path, language_model=other) as workshop:
        assert workshop.language_model.identity == model.identity
        (card,) = workshop.cards.values()
        assert (card.role, card.licence) == ("language_model", "mit")


def test_a_server_can_be_the_language_model(tmp_path: Path) -> None:
    served = {"backend": "http", "model": "large", "base_url": "http://localhost:1/v1"}
    with workshop_of(tmp_path, language_model=served) as workshop:
        model = workshop.language_model
        assert model.identity == "http:http://localhost:1/v1#large"
        (card,) = workshop.cards.values()
        assert (card.role, card.name) == ("language_model", "large")


def test_what_a_server_fails_to_score_counts_as_a_failed_request(tmp_path: Path) -> None:
    served = {
        "backend": "http", "model": "large", "base_url": "http://localhost:1/v1", "max_retries": 0,
    }  # fmt: skip
    with workshop_of(tmp_path, language_model=served) as workshop:
        assert scored(workshop.language_model, "船") == scored(workshop.language_model, "檜") == 0
        assert workshop.take_usage().failed_requests == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"language_model": {"backend": "student"}}, "no student with weights"),
        ({"language_model": {"backend": "ngram", "order": 0}}, "must be at least 1"),
        ({"language_model": {"backend": "unigram"}}, "ngram"),
    ],
)
def test_what_cannot_be_the_language_model_is_refused(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        load_recipe(write_data_study(tmp_path, **changes))
