"""Every synthesis method in a study from end to end, on the scripted models."""

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from studies import DOCUMENTS, final_files, run_study, write_study
from teichaku.backends import scripted
from teichaku.core.errors import UserError
from teichaku.core.records import Dropped, Example, Fact, Question, Request, TrainingLoss
from teichaku.recipes.method_schema import SEED_METHODS, TEXT_METHODS, Method
from teichaku.recipes.methods import _BUILDERS
from teichaku.recipes.seed_methods import SEED_BUILDERS

SECTIONS = {get_args(s.model_fields["method"].annotation)[0] for s in get_args(get_args(Method)[0])}
OF_DOCUMENTS = sorted(_BUILDERS)
TEACHER = scripted.scripted_teacher


def study_of(folder: Path, arm: dict[str, Any], **changes: Any) -> Path:
    """A study of one arm with questions of its own."""
    recipe = write_study(folder)
    whole = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    whole["arms"] = {"arm": arm}
    whole["questions"] = {"kinds": ["independent"], "file": "questions.csv"}
    whole["evaluation"] = {"judge": {"questions": 0}}
    whole.update(changes)
    rows = "".join(f"{name},{name}の船体は何の材料か。,鋼\n" for name in DOCUMENTS)
    (folder / "questions.csv").write_text(f"文書,質問,答え\n{rows}", encoding="utf-8")
    recipe.write_text(yaml.safe_dump(whole, allow_unicode=True), encoding="utf-8")
    return recipe


def test_every_method_of_the_schema_can_be_built() -> None:
    assert {*_BUILDERS, *SEED_BUILDERS} == SECTIONS
    assert not _BUILDERS.keys() & SEED_BUILDERS.keys()
    assert SEED_BUILDERS.keys() == SEED_METHODS


@pytest.mark.parametrize("method", OF_DOCUMENTS)
def test_a_study_runs_with_it_and_every_example_can_be_traced(tmp_path: Path, method: str) -> None:
    run = run_study(study_of(tmp_path, {"examples": [{"method": method}]}))
    examples = list(run.stage("synthesis/arm").read("examples", Example))
    documents = {e.document_id for e in examples}
    assert len(documents) == len(DOCUMENTS)
    for example in examples:
        assert example.method == method
        if method != "verbatim":
            assert example.prompt.startswith("ja/")
            assert example.teacher.startswith("scripted")
            assert example.request_key
            assert example.licence_class == "permissive"
            assert example.prompt_tokens > 0
            assert example.completion_tokens > 0
    assert all(e.is_text for e in examples) == (method in TEXT_METHODS)
    assert len({e.id for e in examples}) == len(examples)
    curated = list(run.stage("curation/arm").read("examples", Example))
    assert curated
    (arm,) = (p.name for p in (run.path / "training").iterdir())
    assert list(run.stage(f"training/{arm}").read("losses", TrainingLoss))
    questions = list(run.stage("questions").read("questions", Question))
    assert {q.kind for q in questions} == {"independent"}
    assert len({q.document_id for q in questions}) == len(DOCUMENTS)
    assert (run.path / "report" / "index.html").is_file()


@pytest.mark.parametrize(
    "arm",
    [
        *({"examples": [{"method": method}]} for method in OF_DOCUMENTS),
        {"examples": [{"method": "document_qa"}], "until": {"statements_per_fact": 3}},
        {"examples": [{"method": "facts"}, {"method": "reverse"}]},
    ],
)
def test_a_new_document_asks_the_teacher_about_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arm: dict[str, Any]
) -> None:
    asked: list[str] = []

    def teacher(request: Request) -> str:
        asked.append(request.subject.unit.title)
        return TEACHER(request)

    monkeypatch.setattr(scripted, "scripted_teacher", teacher)
    recipe = study_of(tmp_path, arm)
    run_study(recipe)
    without_teacher = arm["examples"][0]["method"] == "verbatim"
    assert set(asked) == (set() if without_teacher else set(DOCUMENTS))
    asked.clear()
    new = (
        "---\ntitle: 白鷺\nlicence: CC0 1.0\n---\n種別：渡し船\n定員：30人\n料金：400円\n船体：欅\n"
    )
    (tmp_path / "docs" / "new.md").write_text(new, encoding="utf-8")
    run = run_study(recipe)
    assert set(asked) == (set() if without_teacher else {"白鷺"})
    made = run.stage("synthesis/arm").read("examples", Example)
    assert len({example.document_id for example in made}) == len(DOCUMENTS) + 1


def test_facts_are_counted_for_any_method_and_gaps_are_filled(tmp_path: Path) -> None:
    few = {"examples": [{"method": "document_qa", "per_passage": 1}], "facts": True}
    plain = run_study(study_of(tmp_path / "plain", few))
    facts = list(plain.stage("synthesis/arm").read("facts", Fact))
    assert {fact.document_id for fact in facts} and len(facts) >= 3
    before = _statements(plain)
    filled = run_study(study_of(tmp_path / "filled", {**few, "until": {"statements_per_fact": 2}}))
    after = _statements(filled)
    assert [fact.id for fact in facts] == [
        fact.id for fact in filled.stage("synthesis/arm").read("facts", Fact)
    ]
    assert min(after.get(fact.id, 0) for fact in facts) >= 2
    assert min(before.get(fact.id, 0) for fact in facts) < 2


def _statements(run: Any) -> dict[str, int]:
    counted: dict[str, int] = {}
    for example in run.stage("synthesis/arm").read("examples", Example):
        for fact_id in example.fact_ids:
            counted[fact_id] = counted.get(fact_id, 0) + 1
    return counted


def test_arms_of_one_size_have_as_many_characters(tmp_path: Path) -> None:
    recipe = study_of(tmp_path, {"examples": [{"method": "paraphrase"}], "characters": 300})
    run = run_study(recipe)
    kept = list(run.stage("curation/arm").read("examples", Example))
    assert 0 < sum(len(e.answer) for e in kept) <= 300
    fallen = {d.reason for d in run.stage("curation/arm").read("dropped", Dropped)}
    assert "over_characters" in fallen


def test_questions_of_the_user_are_asked_as_they_stand(tmp_path: Path) -> None:
    rows = "文書,質問,答え,分類\nあおば丸,あおば丸に乗れるのは何人か。,48人,数\nみさき号.md,みさき号の船体は何か。,鋼,材料\n"
    recipe = study_of(
        tmp_path,
        {"examples": [{"method": "verbatim"}]},
        questions={"kinds": ["independent"], "file": "mine.csv"},
    )
    (tmp_path / "mine.csv").write_text(rows, encoding="utf-8")
    run = run_study(recipe)
    questions = list(run.stage("questions").read("questions", Question))
    assert sorted((q.question, q.reference, q.category) for q in questions) == [
        ("あおば丸に乗れるのは何人か。", "48人", "数"),
        ("みさき号の船体は何か。", "鋼", "材料"),
    ]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("質問,答え\n何人か,48人\n", "no document"),
        ("文書,質問,答え\nあおば丸,,48人\n", "line 2: it has no question"),
        ("文書,質問,答え\n知らない船,何人か,48人\n", "no document '知らない船'"),
        ("文書,質問,答え\n", "has no questions"),
    ],
)
def test_a_bad_row_is_told_with_its_place(tmp_path: Path, rows: str, told: str) -> None:
    recipe = study_of(
        tmp_path,
        {"examples": [{"method": "verbatim"}]},
        questions={"kinds": ["independent"], "file": "mine.csv"},
    )
    (tmp_path / "mine.csv").write_text(rows, encoding="utf-8")
    with pytest.raises(UserError, match=told):
        run_study(recipe)


def test_running_text_alone_gives_no_questions_and_that_is_told_before(tmp_path: Path) -> None:
    recipe = study_of(tmp_path, {"examples": [{"method": "verbatim"}]}, questions={})
    with pytest.raises(UserError, match="running text"):
        run_study(recipe)


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    recipe = study_of(
        tmp_path, {"examples": [{"method": "facts"}], "until": {"statements_per_fact": 12}}
    )
    first = final_files(run_study(recipe))
    (tmp_path / "runs" / "boats" / "synthesis" / "arm" / "stage.json").unlink()
    assert final_files(run_study(recipe)) == first
