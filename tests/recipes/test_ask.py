"""What a run's folder says is enough to ask its models, from wherever one stands."""

import json
from pathlib import Path

import pytest

from studies import run_study, write_data_study, write_study
from teichaku import cli
from teichaku.core.errors import UserError
from teichaku.core.prompts import PromptPack
from teichaku.core.run_folder import RunFolder
from teichaku.recipes import ask as asking
from teichaku.recipes.load import load_recipe
from teichaku.recipes.progress import Silent
from teichaku.recipes.run import Options, run_recipe


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A study with a prompt of its own, run from its folder by a relative path."""
    monkeypatch.setenv("TEICHAKU_HOME", str(tmp_path / "home"))
    folder = tmp_path / "study"
    recipe = write_study(folder)
    recipe.write_text(recipe.read_text("utf-8") + "prompts: mine\n", encoding="utf-8")
    (folder / "mine").mkdir()
    (folder / "mine" / "closed_book.txt").write_text("version: 7\n[user]\n{{ question }}")
    monkeypatch.chdir(folder)
    options = Options(Path("runs"), tmp_path / "cache.sqlite")
    run = run_recipe(load_recipe(Path("recipe.yaml")), Path(), Silent(), options)
    return RunFolder(run.path.resolve())


def test_prompts_are_found_from_another_folder(
    finished: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path | None] = []

    def noted(language: str, folder: Path | None) -> PromptPack:
        read.append(folder)
        return PromptPack(language, folder)

    monkeypatch.setattr(asking, "PromptPack", noted)
    monkeypatch.chdir(tmp_path)
    answers = list(asking.ask(finished, "あおば丸の定員は？", "", Silent()))
    assert len(answers) == 2
    assert read == [tmp_path / "study" / "mine"]


def test_prompts_that_are_gone_are_told(finished: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "study" / "mine" / "closed_book.txt").unlink()
    with pytest.raises(UserError, match="no prompt in it"):
        list(asking.ask(finished, "?", "", Silent()))


def test_where_the_recipe_lies_is_told_without_naming_the_machine(
    finished: RunFolder, tmp_path: Path
) -> None:
    assert finished.read_json("run.json")["root"] == "../.."
    for name in ("report/report.json", "report/index.html", "run.json", "recipe.yaml"):
        assert str(tmp_path) not in (finished.path / name).read_text(encoding="utf-8")


def test_run_json_names_the_profile_that_the_recipe_chose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEICHAKU_HOME", str(tmp_path / "home"))
    recipe = write_study(tmp_path)
    text = recipe.read_text("utf-8") + "profile: small\nprofiles: {small: {seed: 3}}\n"
    recipe.write_text(text, "utf-8")
    cli.run(str(recipe), runs=tmp_path / "runs", quiet=True)
    told = json.loads((tmp_path / "runs/boats/run.json").read_text("utf-8"))
    assert (told["profile"], told["seed"]) == ("small", 3)


def test_a_check_looks_at_the_prompts_too(tmp_path: Path) -> None:
    recipe = write_study(tmp_path)
    recipe.write_text(recipe.read_text("utf-8") + "prompts: nowhere\n", "utf-8")
    with pytest.raises(UserError, match="no folder of prompts"):
        cli.check(str(recipe))


def test_a_run_that_ends_with_its_data_cannot_be_asked_or_reported(tmp_path: Path) -> None:
    run = run_study(write_data_study(tmp_path))
    for tell in (
        lambda: list(asking.ask(run, "?", "", Silent())),
        lambda: cli.report(str(run.path)),
    ):
        with pytest.raises(UserError, match="has no student") as caught:
            tell()
        assert str(run.path / "dataset" / "qa") in caught.value.hint
    assert not (run.path / "report").exists()


def test_a_finished_run_is_reported_whatever_its_recipe_would_be_told_today(
    finished: RunFolder,
) -> None:
    recipe = finished.path / "recipe.yaml"
    recipe.write_text(recipe.read_text("utf-8") + "budget: {price: 5}\n", "utf-8")
    cli.report(str(finished.path))
    assert (finished.path / "report" / "index.html").is_file()


def test_an_arm_that_is_not_trained_names_the_command_that_goes_on(finished: RunFolder) -> None:
    (finished.path / "training/qa@learning_rate=0.001/stage.json").unlink()
    about = finished.read_json("run.json")
    finished.write_json("run.json", {**about, "command": "teichaku run 'my boats' --quiet"})
    with pytest.raises(UserError, match="not trained") as caught:
        list(asking.ask(finished, "?", "qa@learning_rate=0.001", Silent()))
    assert caught.value.hint == "Go on: teichaku run 'my boats' --quiet"
