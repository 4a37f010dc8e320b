"""The words that ask a server without JSON schema for JSON come from the recipe's prompts."""

from pathlib import Path

from studies import write_data_study
from teichaku.backends.batch_files import BatchFileModel
from teichaku.backends.http import HttpModel
from teichaku.core.models import ChatModel
from teichaku.core.prompts import PromptPack
from teichaku.recipes.load import load_recipe
from teichaku.recipes.progress import Silent
from teichaku.recipes.workshop import Workshop

ADDRESS = "http://localhost:9/v1"


def teacher(folder: Path, prompts: PromptPack) -> ChatModel:
    folder.mkdir()
    server = {"backend": "http", "model": "m", "base_url": ADDRESS, "structured": "prompt"}
    recipe = load_recipe(write_data_study(folder, teacher=server))
    workshop = Workshop(recipe, prompts, Silent(), folder / "cache.sqlite")
    found = workshop.teacher
    workshop.close()
    return found


def test_the_words_are_those_of_the_language_or_of_the_users_folder(tmp_path: Path) -> None:
    own = tmp_path / "prompts"
    own.mkdir()
    words = "version: 9\n[user]\n{{ schema }}のとおりのJSONだけを書く。\n"
    (own / "as_json.txt").write_text(words, encoding="utf-8")
    identities = [
        teacher(tmp_path / "ja", PromptPack("ja")).identity,
        teacher(tmp_path / "en", PromptPack("en")).identity,
        teacher(tmp_path / "own", PromptPack("ja", own)).identity,
    ]
    named = [identity.rpartition("#prompt:")[2].rpartition(":")[0] for identity in identities]
    assert named == ["ja/as_json@1", "en/as_json@1", "ja/as_json@9"]


def test_a_file_of_requests_and_a_request_ask_in_the_same_words(tmp_path: Path) -> None:
    words = PromptPack("en").load("as_json")
    online = HttpModel(ADDRESS, "m", structured="prompt", as_json=words)
    in_files = BatchFileModel(tmp_path, ADDRESS, "m", structured="prompt", as_json=words)
    assert in_files.identity == online.identity
