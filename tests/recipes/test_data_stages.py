"""The stage of questions in whole studies: what it keeps apart, and what it tells."""

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from studies import run_study, write_data_study, write_study
from teichaku.core.records import Document, Dropped, Question
from teichaku.core.run_folder import RunFolder
from teichaku.recipes.data_stages import documents_fingerprint
from teichaku.recipes.load import load_recipe
from teichaku.recipes.progress import Silent
from teichaku.recipes.run import Options, run_recipe
from teichaku.recipes.schema import Columns, Documents


class Told(Silent):
    """Keeps what is said between the stages."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def changed(recipe: Path, **changes: Any) -> Path:
    whole = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    recipe.write_text(yaml.safe_dump({**whole, **changes}, allow_unicode=True), encoding="utf-8")
    return recipe


def notes_of(run: RunFolder) -> dict[str, Any]:
    summary = run.stage("questions").summary()
    assert summary is not None
    notes: dict[str, Any] = summary["notes"]
    return notes


def test_instructions_in_the_words_of_held_out_questions_are_seen(tmp_path: Path) -> None:
    recipe = write_study(tmp_path)
    found = run_study(recipe).stage("questions").read("questions", Question)
    held = [question for question in found if question.kind == "held_out"][:3]
    seeds = [json.dumps({"instruction": q.question, "output": q.reference}) for q in held]
    (tmp_path / "seeds.jsonl").write_text("\n".join(seeds), "utf-8")
    changed(recipe, name="seeded", seeds={"path": "seeds.jsonl"})
    told, options = Told(), Options(runs=tmp_path / "runs", cache=tmp_path / "cache.sqlite")
    run = run_recipe(load_recipe(recipe), tmp_path, told, options)
    again = [q.question for q in run.stage("questions").read("questions", Question)]
    assert not {question.question for question in held} & set(again)
    fallen = list(run.stage("questions").read("dropped", Dropped))
    assert {record.reason for record in fallen} == {"wording_seen_in_training"}
    # The scripted teacher words them all alike, so none is left, which is told.
    assert notes_of(run)["empty_kinds"] == ["held_out"]
    why = f"none of the kind 'held_out' is left (wording_seen_in_training {len(fallen)})"
    assert sum(why in line for line in told.lines) == 1
    report = run.read_json("report/report.json")
    wanted = "レシピは学習で見せていない言い回しの質問を求めていますが"
    assert any(caveat.startswith(wanted) for caveat in report["headline"]["caveats"])


def test_unseen_questions_that_running_text_answers_are_counted_by_arm(tmp_path: Path) -> None:
    qa = {"examples": [{"method": "document_qa", "per_passage": 5}]}
    both = {"examples": [*qa["examples"], {"method": "verbatim"}]}
    questions = {"kinds": ["trained"], "hold_out": {"per_category": 2}}
    recipe = changed(write_study(tmp_path), arms={"qa": qa, "both": both}, questions=questions)
    run = run_study(recipe)
    notes = notes_of(run)
    assert notes["leak_check"]["unseen"] == 2
    told = notes["leak_check"]["unseen_told_in_text"]
    assert {data: len(ids) for data, ids in told.items()} == {"qa": 0, "both": 2}
    unseen = (q for q in run.stage("questions").read("questions", Question) if q.kind == "unseen")
    assert set(told["both"]) == {question.example_id for question in unseen}
    assert notes["empty_kinds"] == []


def test_reading_documents_anew_for_their_attribution_makes_nothing_else_anew(
    tmp_path: Path,
) -> None:
    recipe = write_data_study(tmp_path)
    for path in (tmp_path / "docs").glob("*.md"):
        path.write_text(path.read_text("utf-8").replace("---\n", "---\nauthor: 山田\n", 1), "utf-8")
    run = run_study(recipe)

    def written() -> dict[str, int]:
        markers = {name: run.stage(name).marker for name in run.stages() if name != "documents"}
        return {name: marker.stat().st_mtime_ns for name, marker in markers.items()}

    before = written()
    shutil.rmtree(run.stage("documents").path)
    run_study(recipe)
    assert before
    assert written() == before
    documents = run.stage("documents").read("documents", Document)
    assert {document.attribution for document in documents} == {"山田"}


def test_a_column_of_attributions_that_is_only_guessed_is_in_no_fingerprint() -> None:
    guessed = Documents(paths=["a.csv"])
    assert "attribution" not in documents_fingerprint(guessed)["columns"]
    named = Documents(paths=["a.csv"], columns=Columns(attribution="著者"))
    assert documents_fingerprint(named)["columns"]["attribution"] == "著者"
