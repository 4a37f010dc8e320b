"""Questions that the documents of a run cannot answer, from the recipe to the report."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from studies import final_files, run_study, write_study
from teichaku.backends.scripted import ScriptedModel, ScriptedStudent
from teichaku.core.records import Answer, Dropped, Judgement, Question, Request, Score
from teichaku.core.run_folder import RunFolder
from teichaku.evaluation.unanswerable import Swap

#: Boats tell of their decks, inns of their baths, shops of what they sell.
DOCUMENTS = {
    "あおば丸": "定員：48人\n建造：1987年\n船体：檜",
    "松風館": "泉質：硫黄泉\n客室：12室\n夕食：山菜",
    "白雲庵": "名物：鴨南蛮\n定休日：火曜\n粉：信州産",
    "小夜風": "航路：湖一周\n船長：三好\n汽笛：二回",
    "月見亭": "庭園：枯山水\n開館：九時\n銘菓：栗羊羹",
}
ARM = "qa"


def write(folder: Path, documents: dict[str, str] = DOCUMENTS, **evaluation: Any) -> Path:
    recipe = write_study(folder)
    shutil.rmtree(folder / "docs")
    (folder / "docs").mkdir()
    for title, text in documents.items():
        head = f"---\ntitle: {title}\n---\n" if title.isalpha() else ""
        (folder / "docs" / f"{title}.md").write_text(head + text, "utf-8")
    whole = yaml.safe_load(recipe.read_text("utf-8"))
    whole["arms"][ARM].pop("matrix")
    whole["evaluation"] = {"controls": [], "signals": None, **evaluation}
    recipe.write_text(yaml.safe_dump(whole, allow_unicode=True), "utf-8")
    return recipe


def questions(run: RunFolder) -> list[Question]:
    return list(run.stage("unanswerable").read("questions", Question))


def report(run: RunFolder) -> dict[str, Any]:
    return run.read_json("report/report.json")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    recipe = write(
        tmp_path_factory.mktemp("study"),
        conditions=["closed_book", "retrieval"],
        unanswerable={"per_document": 2, "check": True, "judge": True},
    )
    return run_study(recipe)


def test_every_model_is_asked_what_the_documents_do_not_tell(finished: RunFolder) -> None:
    made = {question.id: question for question in questions(finished)}
    swaps = {swap.question_id: swap for swap in finished.stage("unanswerable").read("swaps", Swap)}
    assert made.keys() == swaps.keys()
    assert len(made) == 2 * len(DOCUMENTS)
    for question in made.values():
        assert (question.kind, question.reference) == ("unanswerable", "")
        title = swaps[question.id].replacement
        subject = question.question.replace(title, "")
        assert not any(line.partition("：")[0] in subject for line in DOCUMENTS[title].splitlines())
    answers = list(finished.stage("unanswerable").read("answers", Answer))
    asked = {(answer.arm, answer.checkpoint, answer.condition) for answer in answers}
    assert {condition for _, _, condition in asked} == {"closed_book", "retrieval"}
    assert {arm for arm, _, _ in asked} == {"base", ARM}
    assert len(answers) == len(made) * len(asked)


def test_of_each_document_at_most_so_many_about_different_facts(finished: RunFolder) -> None:
    stage = finished.stage("unanswerable")
    run_questions = {q.id: q for q in finished.stage("questions").read("questions", Question)}
    by_document: dict[str, list[str]] = {}
    for swap in stage.read("swaps", Swap):
        source = run_questions[swap.source_id]
        by_document.setdefault(source.document_id, []).append(source.reference)
    assert all(len(set(facts)) == len(facts) == 2 for facts in by_document.values())
    reasons = {row.reason for row in stage.read("dropped", Dropped)}
    assert reasons == {"over_limit", "not_in_words_of_passage"}
    counts = finished.stages()["unanswerable"]["counts"]
    assert counts["in"] == len(run_questions) == counts["out"] + counts["dropped"]


def test_they_are_in_no_score_and_no_probe(finished: RunFolder) -> None:
    own = {question.id for question in questions(finished)}
    scores = list(finished.stage("evaluation").read("scores", Score))
    assert scores
    assert not own & {row.question_id for row in scores}
    told = report(finished)
    assert {row["question_kind"] for row in told["scores"]}.isdisjoint({"unanswerable"})


def test_one_who_says_that_it_is_not_known_has_no_false_answers(finished: RunFolder) -> None:
    found = report(finished)["hallucination"]
    assert (found["questions"], found["documents"]) == (10, 5)
    rates = {(row["arm"], row["by"]): row for row in found["rates"] if row["condition"] == CLOSED}
    for by in ("rules", "judge"):
        row = rates["base", by]
        assert (row["abstention"]["value"], row["false_answers"]["value"]) == (1.0, 0.0)
        assert row["abstention"]["low"] < 0.9
    # It does not know what it was not taught either.
    assert rates["base", "rules"]["over_abstention"]["value"] == 1.0
    assert rates[ARM, "rules"]["over_abstention"]["value"] < 1.0
    assert found["agreement"]["same"] == 1.0
    judged = list(finished.stage("unanswerable").read("judgements", Judgement))
    assert {row.score for row in judged} <= {0.0, 1.0}


CLOSED = "closed_book"


class _Sure(ScriptedStudent):
    """Answers everything with the number of people on board."""

    def _model(self, known: Any, version: str) -> ScriptedModel:
        def script(request: Request) -> str:
            return "48人"

        return ScriptedModel(script, f"{self.identity}#{version}", self._seconds)


def test_one_who_always_answers_has_nothing_but_false_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("teichaku.backends.scripted.ScriptedStudent", _Sure)
    run = run_study(write(tmp_path, conditions=[CLOSED], unanswerable={"per_document": 3}))
    found = report(run)["hallucination"]
    assert found["judge"] == ""
    assert found["agreement"] is None
    for row in found["rates"]:
        assert (row["abstention"]["value"], row["false_answers"]["value"]) == (0.0, 1.0)
        assert row["over_abstention"]["value"] == 0.0
        # Of the false answers those about the boat of 48 are what the question came from.
        assert 0.0 < row["from_source"]["value"] < 1.0
    (change,) = found["changes"]
    assert (change["unanswerable"]["value"], change["answerable"]["value"]) == (0.0, 0.0)


def test_without_titles_the_stage_ends_with_the_reasons(tmp_path: Path) -> None:
    untitled = {f"{number}": text for number, text in enumerate(DOCUMENTS.values())}
    run = run_study(write(tmp_path, untitled, conditions=[CLOSED]))
    summary = run.stages()["unanswerable"]
    assert summary["counts"]["out"] == 0
    assert set(summary["counts"]["reasons"]) <= {"no_name", "answered_elsewhere", "no_passage"}
    found = report(run)["hallucination"]
    assert found["questions"] == 0
    page = (run.path / "report" / "index.html").read_text("utf-8")
    assert "一問も作れなかったため" in page


def test_a_change_of_what_it_is_made_from_alone_asks_again(tmp_path: Path) -> None:
    recipe = write(tmp_path, conditions=[CLOSED])
    first = run_study(recipe)
    before = first.stages()
    recipe.write_text(recipe.read_text("utf-8").replace("signals: null", "signals: {samples: 1}"))
    assert run_study(recipe).stages()["unanswerable"] == before["unanswerable"]
    whole = yaml.safe_load(recipe.read_text("utf-8"))
    whole["evaluation"]["unanswerable"] = {"per_document": 1}
    recipe.write_text(yaml.safe_dump(whole, allow_unicode=True), "utf-8")
    again = run_study(recipe)
    assert len(questions(again)) == len(DOCUMENTS)
    assert again.stages()["evaluation"] == before["evaluation"]


def test_the_same_recipe_gives_the_same_files(tmp_path: Path) -> None:
    runs = [run_study(write(tmp_path / name, conditions=[CLOSED])) for name in "ab"]
    first, second = (
        {name: value for name, value in final_files(run).items() if "unanswerable/" in name}
        for run in runs
    )
    assert first == second
    assert first
