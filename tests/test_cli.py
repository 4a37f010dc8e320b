import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from string import Formatter

import pytest

from alike import NEAR, write_alike_study
from studies import final_files, run_study, write_data_study, write_study
from teichaku import cli
from teichaku.backends.registry import packaged_models
from teichaku.core.locale import catalogue
from teichaku.core.run_folder import RunFolder
from teichaku.evaluation.benchmarks.catalogue import from_the_user, shipped


def call(
    *arguments: str, cwd: Path | None = None, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """The program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", "from teichaku.cli import main; main()", *arguments],
        capture_output=True, text=True, cwd=cwd, timeout=120,
        env={**os.environ, "TEICHAKU_LANG": "en", "COLUMNS": "160", **environment},
    )  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    run_study(write_study(folder))
    return folder


def said_by_the_program() -> set[str]:
    """The English of all texts that are looked up in the catalogue, wherever in the package."""
    texts: set[str] = set()
    for path in Path(cli.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(
                node.func, "id", getattr(node.func, "attr", "")
            ) in ("_", "translate", "counted", "told"):
                said = [one.value for one in node.args if isinstance(one, ast.Constant)]
                texts.update(text for text in said if isinstance(text, str))
    # What the catalogues of benchmarks and of models say to people.
    texts |= {text for one in from_the_user().values() for text in (one.why, one.where)}
    return texts | {model.terms_notice for model in packaged_models() if model.terms_notice}


def test_every_text_of_the_program_has_its_japanese() -> None:
    texts = said_by_the_program()
    assert len(texts) > 250
    assert texts == set(catalogue("ja"))


def test_a_text_and_its_japanese_have_the_same_fields() -> None:
    def fields(text: str) -> set[str]:
        return {name for _, name, _, _ in Formatter().parse(text) if name}

    for text, japanese in catalogue("ja").items():
        # Help texts are shown as they are, whatever they hold in braces.
        if "controls: [" not in text and "{dev,test,train}" not in text:
            assert fields(text) == fields(japanese), text


def test_help_is_in_the_language_of_the_system() -> None:
    assert (
        "レシピを動かします"
        in call("--help", TEICHAKU_LANG="", LC_ALL="", LANG="ja_JP.UTF-8").stdout
    )
    assert "Run a recipe" in call("--help").stdout


def test_a_config_that_is_not_there_is_named(tmp_path: Path) -> None:
    told = call("curate", "a.jsonl", "--out", "out", "--config", "no.yaml", cwd=tmp_path)
    assert told.returncode == 1
    assert "There is no file no.yaml." in told.stderr


def test_a_users_mistake_has_no_traceback_and_a_way_out(tmp_path: Path) -> None:
    ran = call("run", "nothing.yaml", cwd=tmp_path)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert "There is no recipe at nothing.yaml" in ran.stderr
    assert "teichaku new" in ran.stderr
    assert call("fly").returncode == 2


def test_a_study_from_new_to_report(tmp_path: Path) -> None:
    made = call("new", "mine", "--language", "ja", cwd=tmp_path)
    assert made.stdout.splitlines()[1:] == ["  teichaku recipe check mine", "  teichaku run mine"]
    other = call("new", "theirs", "--language", "th", cwd=tmp_path)
    assert "written in en, ja; for 'th' the English ones" in other.stdout
    (tmp_path / "mine" / "docs" / "舟.txt").write_text(
        "定員：48人\n料金：1,800円\n船体：檜\n", "utf-8"
    )
    ran = call(
        "run", "mine", "--set", "teacher={backend: scripted}", "--set", "student={backend: scripted}",
        cwd=tmp_path, TEICHAKU_HOME=str(tmp_path / "home"),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "synthesis/qa" in ran.stderr
    assert (tmp_path / "runs" / "mine" / "report" / "index.html").is_file()
    assert "index.html" in ran.stdout


def test_status_names_every_stage(study: Path) -> None:
    told = call("status", "runs/boats", cwd=study).stdout
    for stage in ("documents", "synthesis/qa", "curation/qa", "questions", "evaluation"):
        assert stage in told
    assert "Finished: nothing is left to do." in told


def test_status_says_who_works_or_what_is_lacking(study: Path, tmp_path: Path) -> None:
    shutil.copytree(study / "runs" / "boats", tmp_path / "runs" / "boats")
    run = RunFolder(tmp_path / "runs" / "boats")
    with run.working():
        told = call("status", "boats", cwd=tmp_path).stdout
        assert f"Working now: process {os.getpid()}" in told
    marker = run.path / "evaluation" / "stage.json"
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "failed_requests": 2}))
    told = call("status", "boats", cwd=tmp_path).stdout
    assert "Finished, but for requests that failed: evaluation 2" in told
    marker.unlink()
    (run.path / "report" / "index.html").unlink()
    told = call("status", "boats", cwd=tmp_path).stdout
    assert "Stopped before it was finished; lacking: evaluation, report" in told


def test_a_run_of_a_part_is_named_where_the_whole_one_is_looked_for(tmp_path: Path) -> None:
    write_data_study(tmp_path)
    ran = call("run", "recipe.yaml", "--limit", "1", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    (run,) = (tmp_path / "runs").iterdir()
    name = run.name.removesuffix("-limit-1")
    assert f"teichaku status runs/{run.name}" in ran.stdout
    asked = call("show", name, "documents", cwd=tmp_path)
    assert asked.returncode == 1
    assert f"There is no run {name} in the folder {tmp_path / 'runs'}" in asked.stderr
    assert f"teichaku show {run.name} documents\n" in asked.stderr


def test_show_prints_rows_and_what_fell(study: Path) -> None:
    assert "あおば丸" in call("show", "boats", "curation", cwd=study).stdout
    fallen = call("show", "boats", "training/qa@learning_rate=0.001", "--dropped", cwd=study).stdout
    assert "kept_for_evaluation" in fallen
    wrong = call("show", "boats", "nonsense", cwd=study)
    assert wrong.returncode == 1
    assert "curation" in wrong.stderr
    assert "Which arm" in call("show", "boats", "training", cwd=study).stderr


def test_ask_answers_with_base_and_tuned_side_by_side(study: Path) -> None:
    told = call("ask", "boats", "あおば丸の定員は？", cwd=study, TEICHAKU_HOME=str(study / "home"))
    assert told.returncode == 0, told.stderr
    assert "  : " not in told.stderr
    assert "(base)" in told.stderr
    assert "分かりません" in told.stdout
    assert "(base)" in told.stdout


def test_report_is_made_again_in_another_language(study: Path) -> None:
    told = call("report", "boats", "--language", "en", cwd=study)
    assert told.returncode == 0, told.stderr
    assert 'lang="en"' in (study / "runs/boats/report/index.html").read_text(encoding="utf-8")


def test_a_run_that_compares_models_has_a_report_and_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(
        "name: board\nlanguage: ja\nevaluation:\n"
        "  models: {one: {backend: scripted}, two: {backend: scripted, model: other}}\n"
        "  controls: [{name: jcommonsenseqa, items: 4, shots: 1}]\n",
        "utf-8",
    )
    run = run_study(tmp_path / "recipe.yaml")
    page = run.path / "report" / "index.html"
    page.unlink()
    told = call("report", "board", "--language", "en", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert page.is_file()
    before = final_files(run)
    for command, why in (
        (("export", "dataset", "board"), "has no arms, and so no data set"),
        (("score", "board", "--scorers", "exact"), "what marks those is no choice"),
    ):
        refused = call(*command, cwd=tmp_path)
        assert refused.returncode == 1
        assert why in refused.stderr
        assert "Traceback" not in refused.stderr
    assert call("score", "board", cwd=tmp_path).returncode == 0
    assert final_files(run) == before


def test_recipe_check_schema_and_list(study: Path) -> None:
    assert "is right" in call("recipe", "check", "recipe.yaml", cwd=study).stdout
    assert '"properties"' in call("recipe", "schema").stdout
    assert "academic-qa" in call("recipe", "list").stdout


def test_a_data_set_is_exported_with_its_card(study: Path) -> None:
    told = call("export", "dataset", "boats", "--format", "chat", "--language", "en", cwd=study)
    assert told.returncode == 0, told.stderr
    folder = Path("runs/boats/export/qa")
    assert f"{folder / 'chat.jsonl'}: 13 rows" in told.stdout
    assert (study / folder / "README.md").read_text("utf-8").startswith("---\npretty_name: boats")
    refused = call("export", "dataset", "boats", "--out", ".", cwd=study)
    assert refused.returncode == 1
    assert "did not write" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_another_threshold_is_tried_out_on_a_run(tmp_path: Path) -> None:
    run_study(write_alike_study(tmp_path, {**NEAR, "guard": True}))
    told = call("threshold", "boats", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "near_duplicates: how many of the examples" in told.stdout
    assert [line.split() for line in told.stdout.splitlines() if "*" in line][1] == ["0.800", "1*"]
    moved = call("threshold", "boats", "--at", "0.7", "--limit", "1", cwd=tmp_path).stdout
    assert "qa, near_duplicates at 0.7: 3 of 23 examples fall; now (pair 0.8) it is 1." in moved
    assert "  0.760 pair\n    - 湖をめぐる大きな遊覧船のわ葉丸の料金は？ 1,800円\n    = " in moved
    assert "and 1 more: --limit 2" in moved
    assert "protected: their numbers or names differ: 1" in moved
    assert "recipe.yaml:12: threshold: 0.7 (instead of threshold: 0.8)" in moved
    assert "Then go on: teichaku run recipe.yaml" in moved
    assert "nothing is compared again" in moved
    as_json = json.loads(call("threshold", "boats", "--at", "0.7", "--json", cwd=tmp_path).stdout)
    assert [len(as_json["arms"][0][key]) for key in ("more", "back", "protected")] == [2, 0, 1]
    (curve,) = json.loads(call("threshold", "boats", "--json", cwd=tmp_path).stdout)
    assert [0.8, 1] in curve["fall"]
    below = call("threshold", "boats", "--at", "0.6", cwd=tmp_path)
    assert below.returncode == 1
    assert "known from 0.7 on" in below.stderr
    assert "Traceback" not in below.stderr


def test_runs_are_found_in_another_folder(study: Path, tmp_path: Path) -> None:
    runs = str(study / "runs")
    assert "evaluation" in call("status", "boats", "--runs", runs, cwd=tmp_path).stdout
    assert "あおば丸" in call("show", "boats", "curation", "--runs", runs, cwd=tmp_path).stdout
    assert call("report", "boats", "--runs", runs, cwd=tmp_path).returncode == 0
    unknown = call("status", "ships", "--runs", runs, cwd=tmp_path)
    assert unknown.returncode == 1
    assert f"in the folder {runs}." in unknown.stderr
    assert "Runs there: boats." in unknown.stderr
    assert "boats" not in call("status", "ships", cwd=tmp_path).stderr


@pytest.mark.parametrize("columns", ["20", "60", "80"])
def test_names_are_whole_however_narrow_the_terminal_is(study: Path, columns: str) -> None:
    told = call("models", COLUMNS=columns).stdout
    assert {model.name for model in packaged_models()} <= set(told.split())
    stages = call("status", "boats", cwd=study, COLUMNS=columns).stdout
    assert "training/qa@learning_rate=0.0001" in stages.split()
    # No terminal wraps what goes into a pipe.
    assert "dropped" in stages.splitlines()[0]


def test_benchmarks_are_listed_with_their_licence_or_why_they_are_not_here() -> None:
    told = call("benchmarks", COLUMNS="200").stdout
    assert "jcommonsenseqa" in told and "CC-BY-SA-4.0" in told
    ships, needs = told.split("These need a copy of yours:")
    assert "marc_ja" in needs and "withdrawn" in needs and "marc_ja" not in ships
    assert shipped()["jcommonsenseqa"].splits["test"].sha256[:12] in ships
    assert "RC (reading)" in needs
    japanese = call("benchmarks", COLUMNS="200", TEICHAKU_LANG="ja").stdout
    assert "RC（読解）" in japanese and "withdrawn" not in japanese


def test_models_are_listed_with_their_licences() -> None:
    told = call("models").stdout
    assert "gemma-3-270m" in told
    assert "Gemma" in told
    assert "Apache-2.0" in told


def test_the_data_sets_that_are_announced_are_those_of_the_recipe_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEICHAKU_HOME", str(tmp_path / "home"))
    arm = {"examples": [{"method": "document_qa"}]}
    for arms in ({"qa": arm, "gone": arm}, {"qa": arm}):
        cli.run(str(write_data_study(tmp_path, arms=arms)), runs=tmp_path / "runs", quiet=True)
    (told,) = capsys.readouterr().out.splitlines()[2:]
    assert told.endswith("runs/boats/dataset/qa")
    assert (tmp_path / "runs/boats/dataset/gone").is_dir()


def test_japanese_messages_use_one_word_for_a_thing_and_one_style() -> None:
    for text in catalogue("ja").values():
        assert not [word for word in ("腕", "種を", "種か", "断片", "依頼") if word in text], text
        plain = text.replace("ください。", "")
        assert not [end for end in ("る。", "い。", "だ。", "る（", "試す") if end in plain], text
