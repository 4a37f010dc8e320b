"""The rules on text and personal data, as sections of a recipe."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from rule_proofs import RULES
from studies import run_study, write_data_study
from teichaku.core.errors import RecipeError
from teichaku.core.records import Dropped, Example
from teichaku.curation.personal_data.masking import PersonalDatum
from teichaku.recipes.load import load_recipe
from teichaku.report import wording

RULE_FILTERS = (
    "length",
    "repetition",
    "broken_characters",
    "mixed_languages",
    "model_talk",
    "markup",
)
PHONE = "電話：03-1234-5678"
BOAT = f"種別：遊覧船\n定員：48人\n料金：1,800円\n{PHONE}"


def study(folder: Path, *filters: Any) -> Path:
    recipe = write_data_study(folder, curation=list(filters))
    (folder / "docs" / "あおば丸.md").write_text(f"---\ntitle: あおば丸\n---\n{BOAT}\n", "utf-8")
    return recipe


def curated(recipe: Path) -> tuple[list[Example], list[Dropped]]:
    stage = run_study(recipe).stage("curation/qa")
    return list(stage.read("examples", Example)), list(stage.read("dropped", Dropped))


def test_good_examples_pass_all_rules(tmp_path: Path) -> None:
    kept, fallen = curated(study(tmp_path / "all", *RULE_FILTERS))
    without, _ = curated(study(tmp_path / "none", "duplicates"))
    assert kept == without
    assert fallen == []


def test_a_rule_takes_its_settings_from_the_recipe(tmp_path: Path) -> None:
    kept, fallen = curated(study(tmp_path, {"name": "length", "answer": [3, 4000]}))
    assert {row.reason for row in fallen} == {"too_short"}
    assert kept and fallen


@pytest.mark.parametrize(
    ("action", "kept_phone", "dropped"),
    [("mask", False, 0), ("report", True, 0), ("drop", False, 1)],
)
def test_personal_data_is_masked_dropped_or_left(
    tmp_path: Path, action: str, kept_phone: bool, dropped: int
) -> None:
    kept, fallen = curated(study(tmp_path, {"name": "personal_data", "action": action}))
    answers = " ".join(example.answer for example in kept)
    assert ("03-1234-5678" in answers) == kept_phone
    assert ("[電話番号]" in answers) == (action == "mask")
    assert len(fallen) == dropped
    assert "1234" not in str(fallen)
    assert "1,800円" in answers


def test_a_masked_example_keeps_its_id(tmp_path: Path) -> None:
    run = run_study(study(tmp_path, "personal_data"))
    before = {e.id: e for e in run.stage("synthesis/qa").read("examples", Example)}
    after = {e.id: e for e in run.stage("curation/qa").read("examples", Example)}
    assert before.keys() == after.keys()
    changed = [name for name in before if before[name].answer != after[name].answer]
    assert len(changed) == 1
    assert "03-1234-5678" in before[changed[0]].answer
    (noted,) = run.stage("curation/qa").read("personal_data", PersonalDatum)
    assert (noted.example_id, noted.kind, noted.action) == (changed[0], "phone", "mask")
    assert noted.evidence == "**-****-****"


def test_the_number_of_the_switchboard_may_stay(tmp_path: Path) -> None:
    filters = {"name": "personal_data", "allow": ["０３（１２３４）５６７８"]}
    kept, _ = curated(study(tmp_path, filters))
    assert any("03-1234-5678" in example.answer for example in kept)


def test_names_need_their_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "spacy", None)
    with pytest.raises(RecipeError, match="names"):
        curated(study(tmp_path, {"name": "personal_data", "kinds": ["name", "phone"]}))


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"name": "length", "answer": [9, 3]}, "[least, most]"),
        ({"name": "length", "answer": [-1, 3]}, "[least, most]"),
        ({"name": "length", "answer": 3}, "answer"),
        ({"name": "length", "half": 0}, "half"),
        ({"name": "repetition", "ngrams": 1.5}, "ngrams"),
        ({"name": "repetition", "run": 1}, "run"),
        ({"name": "mixed_languages", "share": -0.1}, "share"),
        ({"name": "personal_data", "action": "hide"}, "'mask', 'drop', 'report'"),
        ({"name": "personal_data", "kinds": ["telephone"]}, "phone"),
        ({"name": "personal_data", "kinds": []}, "kinds"),
        ({"name": "personal_data", "allow": [312345678]}, "allow"),
        ({"name": "personal_data", "alow": ["x"]}, "did you mean 'allow'"),
        ({"name": "markup", "share": 0.1}, "share"),
        ("personal_dat", "did you mean 'personal_data'"),
    ],
)
def test_bad_settings_are_told_where_they_stand(tmp_path: Path, section: Any, told: str) -> None:
    recipe = study(tmp_path, section)
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe)
    message = str(caught.value)
    assert told in message
    line = int(message.splitlines()[1].split(":")[1])
    lines = recipe.read_text("utf-8").splitlines()
    first = lines.index("curation:") + 1
    assert first <= line <= first + len(yaml.safe_dump([section]).splitlines()) + 2


@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_reason_has_words_in_the_report(language: str) -> None:
    assert wording.load_words(language)["reasons"].keys() >= {*RULES, "personal_data"}
