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


@pytest.mark.parametrize(
    ("base_url", "name"),
    [
        ("https://my-resource.openai.azure.com/openai/v1", "azure"),
        ("https://bedrock-runtime.eu-west-1.amazonaws.com/openai/v1", "bedrock"),
        ("https://us-central1-aiplatform.googleapis.com/v1/projects/p", "vertex-ai"),
        ("https://DashScope-intl.aliyuncs.com/compatible-mode/v1", "qwen-hosted"),
        ("https://openai.azure.com.example.org/v1", "unknown"),
    ],
)
def test_a_service_of_many_models_goes_by_the_model_else_says_why_it_is_unknown(
    base_url: str, name: str
) -> None:
    found = terms_of("my-deployment", base_url)
    assert (found.name, found.licence_class) == (name, "unknown")
    assert bool(found.clause and found.source) == (name != "unknown")
    assert terms_of("my-deployment", base_url, licence="MIT").licence_class == "permissive"
    assert terms_of("gpt-4o", base_url, licence="MIT").licence_class == "forbids_competing"


def test_what_the_recipe_says_counts_where_the_table_is_silent() -> None:
    assert terms_of("mine", licence="Apache-2.0").licence_class == "permissive"
    assert terms_of("mine", licence="my own words") is UNKNOWN
    assert terms_of("gpt-4o", licence="MIT").licence_class == "forbids_competing"


def test_a_table_of_ones_own_goes_first(tmp_path: Path) -> None:
    own = tmp_path / "terms.yaml"
    own.write_text("- {name: contract, match: [^gpt-], class: permissive, clause: By contract.}\n")
    assert terms_of("gpt-4o", own_table=own).name == "contract"


def test_a_single_match_or_host_needs_no_list(tmp_path: Path) -> None:
    own = tmp_path / "terms.yaml"
    own.write_text(
        "- {name: one, match: my-model, class: permissive}\n"
        "- {name: other, hosts: API.x.com, class: conditions}\n"
    )
    assert terms_of("my-model-2", own_table=own).name == "one"
    assert terms_of("gpt-4o", own_table=own).licence_class == "forbids_competing"
    assert terms_of("anything", "https://api.x.com/v1", own_table=own).name == "other"


@pytest.mark.parametrize(
    "text", ["nonsense: [", "name: x", "- {name: x}", "- {name: x, match: x, class: free}",
             "- {name: x, class: permissive, match: ['(']}"],
)  # fmt: skip
def test_a_broken_table_is_named(text: str, tmp_path: Path) -> None:
    own = tmp_path / "terms.yaml"
    own.write_text(text)
    with pytest.raises(UserError, match=r"terms\.yaml"):
        terms_of("gpt-4o", own_table=own)


@pytest.mark.parametrize(
    "keys",
    ["match: 5", "match: ['']", "match: [a, 5]", "match: {a: b}", "hosts: 5", "hosts: [true]",
     "hosts: 'https://api.x.com/v1'", "match: []", "matches: gpt-4o"],
)  # fmt: skip
def test_an_entry_that_would_cover_all_or_nothing_is_refused_with_its_name(
    keys: str, tmp_path: Path
) -> None:
    own = tmp_path / "terms.yaml"
    own.write_text(f"- {{name: first, match: a, class: conditions}}\n"
                   f"- {{name: mine, class: permissive, {keys}}}\n")  # fmt: skip
    with pytest.raises(UserError, match=r"terms\.yaml.*entry 2 \(mine\): ") as caught:
        terms_of("gpt-4o", own_table=own)
    assert caught.value.hint
