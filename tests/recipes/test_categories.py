"""A file of question categories of the user's own."""

from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from teichaku.core.errors import UserError
from teichaku.core.prompts import PromptPack, category_file
from teichaku.recipes.methods import read_categories
from teichaku.recipes.study import Study

CATEGORY = {
    "name": "use",
    "label": "用途",
    "description": "何に使うかをたずねる。",
    "answer_length": "short",
    "example": {
        "passage": "櫓は舟を漕ぐ道具だ。",
        "question": "櫓は何に使いますか。",
        "answer": "舟を漕ぐ",
    },
}


class Place:
    """As much of a study as the categories are read from."""

    def __init__(self, root: Path) -> None:
        self.prompts = PromptPack("ja")
        self.root = root


def read(folder: Path, content: Any, encoding: str = "utf-8") -> Any:
    text = content if isinstance(content, str) else yaml.safe_dump(content, allow_unicode=True)
    (folder / "mine.yaml").write_bytes(text.encode(encoding))
    return read_categories(cast(Study, Place(folder)), "mine.yaml")


def test_categories_and_sets_are_read(tmp_path: Path) -> None:
    categories, sets = read(tmp_path, {"categories": [CATEGORY]}, "utf-8-sig")
    assert (categories[0].name, categories[0].answer) == ("use", "舟を漕ぐ")
    assert sets == {"all": ["use"]}
    _, sets = read(tmp_path, {"categories": [CATEGORY], "example_sets": {"one": ["use"]}})
    assert sets == {"one": ["use"]}


@pytest.mark.parametrize("language", ["ja", "en", "th"])
def test_the_built_in_categories_are_right(tmp_path: Path, language: str) -> None:
    place = Place(tmp_path)
    place.prompts = PromptPack(language)
    categories, sets = read_categories(cast(Study, place), "academic")
    assert (len(categories), len(sets)) == (6, 3)
    assert category_file(language, "academic")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"categories": [CATEGORY], "example_sets": ["all"]}, "example_sets: "),
        ({"categories": [CATEGORY], "example_sets": {"all": "use"}}, "example_sets.all: "),
        ({"categories": [CATEGORY], "example_sets": {"all": []}}, "example_sets.all: "),
        ({"categories": [CATEGORY], "example_sets": {"all": ["misuse"]}}, "unknown categories"),
        ({"categories": [CATEGORY], "exampel_sets": {}}, "exampel_sets: "),
        ({"categories": [{**CATEGORY, "answer_length": "long!"}]}, "categories.0.answer_length: "),
        ({"categories": []}, "categories: "),
        ("- use", "file: "),
        ("", "file: "),
        ("categories: [", "while parsing"),
        ("categories: &c [*c]", "categories.0: "),
    ],
)
def test_a_file_that_is_none_is_told(tmp_path: Path, content: Any, told: str) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, content)
    assert told in caught.value.message
    assert "mine.yaml" in caught.value.message


def test_another_encoding_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mine\.yaml") as caught:
        read(tmp_path, {"categories": [CATEGORY]}, "cp932")
    assert "UTF-8" in caught.value.hint
