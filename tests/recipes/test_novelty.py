"""What the student knows is found out before anything is made, and acted on as the recipe says."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from studies import DOCUMENTS, final_files, run_study, write_study
from teichaku.backends import scripted
from teichaku.backends.http_log_probabilities import HttpLanguageModel
from teichaku.backends.ngram_language_model import NgramLanguageModel
from teichaku.core.errors import RecipeError, UserError
from teichaku.core.records import Answer, Dropped, Example, Passage, Question
from teichaku.core.run_folder import RunFolder
from teichaku.curation.novelty import PassageNovelty
from teichaku.recipes.load import load_recipe

KNOWN = "みさき号"
DATES = dict(zip(DOCUMENTS, ("2025-03-01", "2023年5月", "2024"), strict=True))


class Informed(scripted.ScriptedStudent):
    """A student that knows one boat before it learns anything, and gives log-probabilities."""

    def _model(self, known: Any, version: str) -> scripted.ScriptedModel:
        model = super()._model(known, version)
        blank = model._script

        def script(request: Any) -> str:
            asked = request.messages[-1].content
            lines = DOCUMENTS[KNOWN].splitlines() if KNOWN in asked else []
            fitting = [line for line in lines if line.partition("：")[0] in asked]
            return fitting[0] if fitting else blank(request)

        model._script = script
        return model

    def language_model(self) -> NgramLanguageModel:
        return NgramLanguageModel([DOCUMENTS[KNOWN]], order=3)


@pytest.fixture(autouse=True)
def informed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripted, "ScriptedStudent", Informed)


def asking(folder: Path, **novelty: Any) -> Path:
    """A small study with a section ``novelty``, whose documents have dates."""
    recipe = write_study(folder)
    for title, text in DOCUMENTS.items():
        head = f"---\ntitle: {title}\ndate: '{DATES[title]}'\n---\n"
        (folder / "docs" / f"{title}.md").write_text(f"{head}{text}\n", "utf-8")
    whole = yaml.safe_load(recipe.read_text("utf-8"))
    whole["arms"]["qa"]["matrix"] = {"training.learning_rate": [1e-3]}
    whole["training"]["epochs"] = 1
    whole["evaluation"] = {"judge": {"questions": 0}}
    whole["novelty"] = novelty
    recipe.write_text(yaml.safe_dump(whole, allow_unicode=True), "utf-8")
    return recipe


def titles(run: RunFolder) -> dict[str, str]:
    return {p.id: p.title for p in run.stage("documents").read("passages", Passage)}


def rows(run: RunFolder) -> dict[str, PassageNovelty]:
    named = titles(run)
    return {named[r.id]: r for r in run.stage("novelty").read("novelty", PassageNovelty)}


def taught(run: RunFolder, stage: str = "curation") -> dict[str, int]:
    """How many examples there are on each document."""
    named, counts = titles(run), dict.fromkeys(DOCUMENTS, 0)
    for example in run.stage(f"{stage}/qa").read("examples", Example):
        counts[named[example.passage_id]] += 1
    return counts


def test_what_the_student_answers_is_known_and_the_rest_is_not(tmp_path: Path) -> None:
    run = run_study(asking(tmp_path, released="2024-06-30"))
    assert list(run.stages())[:3] == ["documents", "novelty", "synthesis/qa"]
    found = rows(run)
    assert {title: row.right_share for title, row in found.items()} == {
        title: float(title == KNOWN) for title in DOCUMENTS
    }
    assert {title: row.is_later for title, row in found.items()} == dict(
        zip(DOCUMENTS, (True, False, None), strict=True)
    )
    summary = run.stages()["novelty"]
    counts = summary["counts"]
    assert counts["in"] == counts["out"] + counts["dropped"]
    assert summary["notes"]["scored"] == {"probing": 3}
    assert len(list(run.stage("novelty").read("dropped", Dropped))) == counts["dropped"]
    questions = {q.id for q in run.stage("novelty").read("questions", Question)}
    answers = list(run.stage("novelty").read("answers", Answer))
    assert {answer.question_id for answer in answers} == questions
    assert all(taught(run).values())


def test_drop_makes_nothing_from_what_is_known_and_says_why(tmp_path: Path) -> None:
    run = run_study(asking(tmp_path, action="drop"))
    counts = taught(run, "synthesis")
    assert counts.pop(KNOWN) == 0
    assert all(counts.values())
    (fallen,) = (
        d for d in run.stage("synthesis/qa").read("dropped", Dropped) if d.reason == "already_known"
    )
    assert (fallen.kind, json.loads(fallen.record)["title"]) == ("Passage", KNOWN)
    assert "4 of 4 questions" in fallen.evidence


def test_weigh_keeps_a_share_of_the_examples_on_what_is_known(tmp_path: Path) -> None:
    run = run_study(asking(tmp_path, action="weigh", least=0.5))
    made, kept = taught(run, "synthesis"), taught(run)
    assert made[KNOWN] == 5
    assert kept == {**made, KNOWN: 3}
    fallen = list(run.stage("curation/qa").read("dropped", Dropped))
    assert [d.reason for d in fallen] == ["already_known"] * 2
    assert all("3 of 5 examples stay" in d.evidence for d in fallen)


def test_another_action_measures_nothing_anew_and_remakes_what_depends_on_it(
    tmp_path: Path,
) -> None:
    first = run_study(asking(tmp_path))
    before = final_files(first)
    stamps = {p: p.stat().st_mtime_ns for p in first.path.glob("novelty/*")}

    def changed(**novelty: Any) -> set[str]:
        after = final_files(run_study(asking(tmp_path, **novelty)))
        return {name.split("/")[0] for name in before if after.get(name) != before[name]}

    asked = {"retrieval", "evaluation", "controls", "unanswerable", "signals"}
    asked |= {"probes", "recipe.yaml", "stages.json"}
    beyond = {"curation", "questions", "training", *asked}
    assert changed(action="weigh") == beyond
    assert changed(action="drop") == beyond | {"synthesis"}
    assert changed(action="report", least=0.5) == {"recipe.yaml"}
    assert {p: p.stat().st_mtime_ns for p in first.path.glob("novelty/*")} == stamps


def test_the_date_rule_drops_what_is_not_later_and_needs_no_student(tmp_path: Path) -> None:
    recipe = asking(tmp_path, method="date", action="drop", released="2024-06-30")
    whole = yaml.safe_load(recipe.read_text("utf-8"))
    for key in ("student", "training", "evaluation", "questions"):
        del whole[key]
    del whole["arms"]["qa"]["matrix"]
    recipe.write_text(yaml.safe_dump(whole, allow_unicode=True), "utf-8")
    run = run_study(recipe)
    assert {title for title, count in taught(run).items() if not count} == {"みさき号"}
    fallen = list(run.stage("synthesis/qa").read("dropped", Dropped))
    assert "dated 2023年5月, not after the student's release on 2024-06-30" in fallen[0].evidence


def test_likelihood_is_scored_beside_and_the_likeliest_share_falls(tmp_path: Path) -> None:
    recipe = asking(
        tmp_path, method="min_k", action="drop", share=0.34, compare=["min_k_plus_plus", "probing"]
    )
    run = run_study(recipe)
    found = rows(run)
    assert all(r.min_k is not None and r.min_k_plus_plus is not None for r in found.values())
    assert max(found, key=lambda title: found[title].min_k or -99) == KNOWN
    assert {title for title, count in taught(run, "synthesis").items() if not count} == {KNOWN}
    told = run.stages()["novelty"]["notes"]["separations"]
    assert {(row["label"], row["score"]) for row in told if not row["is_baseline"]} == {
        ("probing", "min_k"), ("probing", "min_k_plus_plus")
    }  # fmt: skip
    # One known document is no class to be compared with.
    assert {row["finding"] for row in told if not row["is_baseline"]} == {"few"}


def test_a_student_without_log_probabilities_is_told_of_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Informed, "language_model")
    with pytest.raises(UserError, match="gives no log-probabilities") as caught:
        run_study(asking(tmp_path, method="min_k"))
    assert "novelty: {method: probing}" in caught.value.hint
    recipe = asking(tmp_path, method="min_k")
    stated = recipe.read_text("utf-8") + "language_model: {backend: ngram, order: 3}\n"
    recipe.write_text(stated, "utf-8")
    run = run_study(recipe)
    assert all(row.min_k is not None for row in rows(run).values())
    page = (run.path / "report" / "index.html").read_text("utf-8")
    assert run.stages()["novelty"]["notes"]["language_model"] in page


SERVED = "{backend: http, model: m, base_url: 'http://localhost:1/v1', max_retries: 0}"


def served(folder: Path, **novelty: Any) -> Path:
    """A study whose likelihoods a server gives that nobody answers for."""
    recipe = asking(folder, **novelty)
    recipe.write_text(f"{recipe.read_text('utf-8')}language_model: {SERVED}\n", "utf-8")
    return recipe


def test_where_no_passage_can_be_scored_nothing_is_made_as_if_all_were_new(tmp_path: Path) -> None:
    recipe = served(tmp_path, method="min_k", action="drop", share=0.34)
    with pytest.raises(
        UserError, match=r"novelty: none of 3 passages has a score \(min_k\)"
    ) as told:
        run_study(recipe)
    assert "cannot be reached" in str(told.value)
    run = tmp_path / "runs" / "boats"
    assert not (run / "novelty" / "stage.json").exists()
    assert not (run / "synthesis").exists()


def test_likelihoods_beside_that_failed_are_told_and_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = served(tmp_path, compare=["min_k"])
    run = run_study(recipe)
    about = run.stages()["novelty"]
    assert about["failed_requests"] == 3
    assert about["notes"]["scored"] == {"probing": 3, "min_k": 0}
    assert all("cannot be reached" in row.error for row in rows(run).values())

    def scores(self: Any, texts: Any, moments: bool = False) -> Any:
        return NgramLanguageModel([DOCUMENTS[KNOWN]]).token_log_probabilities(texts, moments)

    monkeypatch.setattr(HttpLanguageModel, "token_log_probabilities", scores)
    about = run_study(recipe).stages()["novelty"]
    assert about["failed_requests"] == 0
    assert about["notes"]["scored"] == {"probing": 3, "min_k": 3}


@pytest.mark.parametrize(
    ("novelty", "told"),
    [
        ({"method": "date"}, "novelty.released: the date rule goes by the day"),
        ({"compare": ["date"]}, "novelty.released: the date rule goes by the day"),
        ({"method": "min_k", "action": "drop"}, "novelty.share: no score of min_k is known"),
        ({"share": 0.5}, "novelty.share: it is for min_k"),
        ({"released": "昨日"}, "novelty.released"),
        ({"threshold": 0}, "novelty.threshold"),
        ({"method": "probe"}, "novelty.method"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_with_its_line(
    tmp_path: Path, novelty: dict[str, Any], told: str
) -> None:
    with pytest.raises(RecipeError, match=told):
        load_recipe(asking(tmp_path, **novelty))


def test_nobody_can_be_asked_without_a_student(tmp_path: Path) -> None:
    recipe = asking(tmp_path)
    whole = yaml.safe_load(recipe.read_text("utf-8"))
    del whole["student"], whole["arms"]["qa"]["matrix"]
    recipe.write_text(yaml.safe_dump(whole, allow_unicode=True), "utf-8")
    with pytest.raises(RecipeError, match="name 'student'"):
        load_recipe(recipe)
