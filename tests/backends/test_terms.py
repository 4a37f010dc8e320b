"""Every teacher that the table knows is classed by its own terms, and by no sibling's."""

from pathlib import Path

import pytest
import yaml

from teichaku.backends.registry import packaged_models
from teichaku.backends.terms import UNKNOWN, terms_of
from teichaku.core.errors import UserError

NAMES: dict[str, str | None] = yaml.safe_load(
    Path(__file__).with_name("teacher_terms.yaml").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("model", sorted(NAMES))
def test_a_model_has_its_own_terms(model: str) -> None:
    assert terms_of(model).name == (NAMES[model] or "unknown")


def test_packaged_teachers_are_in_the_table() -> None:
    for model in packaged_models():
        if model.role == "chat":
            assert terms_of(model.name).licence_class in ("permissive", "conditions"), model.name


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("llm-jp/llm-jp-3-13b-instruct", "permissive"),
        ("cyberagent/calm3-22b-chat", "permissive"),
        ("mistralai/Mistral-Small-24B-Instruct-2501", "permissive"),
        ("elyza/Llama-3-ELYZA-JP-8B", "forbids_competing"),
        ("google/gemma-2-9b-it", "conditions"),
        ("gpt-4o", "forbids_competing"),
        ("openai/gpt-oss-20b", "permissive"),
    ],
)
def test_the_teachers_of_the_five_systems(model: str, expected: str) -> None:
    assert terms_of(model).licence_class == expected


def test_a_host_is_known_whatever_the_model_is_called() -> None:
    assert terms_of("my-alias", "https://api.openai.com/v1").licence_class == "forbids_competing"
    assert terms_of("my-alias", "http://localhost:8000/v1") is UNKNOWN


def test_what_the_recipe_says_counts_where_the_table_is_silent() -> None:
    assert terms_of("mine", licence="Apache-2.0").licence_class == "permissive"
    assert terms_of("mine", licence="my own words") is UNKNOWN
    assert terms_of("gpt-4o", licence="MIT").licence_class == "forbids_competing"


def test_a_table_of_ones_own_goes_first(tmp_path: Path) -> None:
    own = tmp_path / "terms.yaml"
    own.write_text("- {name: contract, match: [^gpt-], class: permissive, clause: By contract.}\n")
    assert terms_of("gpt-4o", own_table=own).name == "contract"


@pytest.mark.parametrize(
    "text", ["nonsense: [", "name: x", "- {name: x}", "- {name: x, class: free}",
             "- {name: x, class: permissive, match: ['(']}"],
)  # fmt: skip
def test_a_broken_table_is_named(text: str, tmp_path: Path) -> None:
    own = tmp_path / "terms.yaml"
    own.write_text(text)
    with pytest.raises(UserError, match=r"terms\.yaml"):
        terms_of("gpt-4o", own_table=own)
