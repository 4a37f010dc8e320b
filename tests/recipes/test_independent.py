"""Questions in a file of the user's: each finds its document, and all mistakes are told."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from studies import run_study, write_study
from teichaku.core.errors import UserError
from teichaku.core.records import Dropped, Passage, Question
from teichaku.core.run_folder import RunFolder
from teichaku.recipes.independent import check_given_questions, read_questions
from teichaku.recipes.load import load_recipe
from teichaku.recipes.study import Study


def asked(document: str, question: str = "定員は何人か。", answer: Any = "48人") -> dict[str, Any]:
    return {"文書": document, "質問": question, "答え": answer}


def written(folder: Path, rows: Sequence[object]) -> Path:
    path = folder / "mine.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    return path


def study_asking(folder: Path, rows: Sequence[object], **changes: Any) -> Path:
    """A study of running text with the questions of ``rows``."""
    recipe = write_study(folder)
    whole = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    whole["arms"] = {"arm": {"examples": [{"method": "verbatim"}]}}
    whole["questions"] = {"kinds": ["independent"], "file": "mine.jsonl"}
    whole["evaluation"] = {"judge": {"questions": 0}}
    whole["documents"].update(changes)
    written(folder, rows)
    recipe.write_text(yaml.safe_dump(whole, allow_unicode=True), encoding="utf-8")
    return recipe


def refused(recipe: Path) -> str:
    with pytest.raises(UserError) as caught:
        run_study(recipe)
    return str(caught.value)


def questions_of(run: RunFolder) -> list[Question]:
    return list(run.stage("questions").read("questions", Question))


def test_all_mistakes_are_told_with_their_lines(tmp_path: Path) -> None:
    rows = [
        asked("あおば丸", answer=["48人"]),
        asked("あおば丸", answer=True),
        asked("あおば丸"),
        {"文書": "あおば丸", "答え": "檜"},
        ["あおば丸"],
        asked("「あおば丸」", "定員は何人か"),
    ]
    with pytest.raises(UserError) as caught:
        read_questions(written(tmp_path, rows))
    assert caught.value.message.splitlines()[0].endswith("5 mistake(s) in the questions:")
    for told in (
        "line 1: 'answer' is no text",
        "line 2: 'answer' is True: write the text in quotes",
        "line 4: it has no question (it has: 文書, 答え)",
        "line 5: it is no object with names and values",
        "line 6: the same question as line 3",
    ):
        assert f"\n  {told}" in caught.value.message
    assert "question: question, 質問, 問題" in caught.value.hint


def test_a_question_stands_once_whatever_its_document_is_called(tmp_path: Path) -> None:
    told = refused(study_asking(tmp_path, [asked("あおば丸"), asked("あおば丸.md", answer="48")]))
    assert "line 2: the same question as line 1" in told


def test_names_that_fit_none_or_several_documents_are_all_told(tmp_path: Path) -> None:
    rows = [asked("あおば丸"), asked("知らない船"), asked("みさき号"), asked("幻の船")]
    recipe = study_asking(tmp_path, rows)
    other = tmp_path / "docs" / "old" / "あおば丸.md"
    other.parent.mkdir()
    other.write_text("定員：30人", "utf-8")
    told = refused(recipe)
    assert "3 mistake(s)" in told
    assert "line 1: 'あおば丸' fits 2 documents: docs/" in told
    assert "docs/old/あおば丸.md (" in told
    assert "line 2: there is no document '知らない船'" in told
    assert "line 4: there is no document '幻の船'" in told


def test_a_source_names_one_of_two_documents_of_the_same_name(tmp_path: Path) -> None:
    sources = {"docs/old/あおば丸.md": "30人", "docs/あおば丸.md": "48人"}
    recipe = study_asking(tmp_path, [asked(name, answer=sources[name]) for name in sources])
    other = tmp_path / "docs" / "old" / "あおば丸.md"
    other.parent.mkdir()
    other.write_text("定員：30人", "utf-8")
    run = run_study(recipe)
    found = {q.reference: run_text(run, q) for q in questions_of(run)}
    assert set(found) == {"30人", "48人"}
    assert all(reference in text for reference, text in found.items())


def run_text(run: RunFolder, question: Question) -> str:
    passages = run.stage("documents").read("passages", Passage)
    return next(passage.text for passage in passages if passage.id == question.passage_id)


def test_a_question_about_a_document_that_fell_is_told_why_it_fell(tmp_path: Path) -> None:
    rows = [asked("あおば丸"), asked("写し.md"), asked("空.md")]
    recipe = study_asking(tmp_path, rows)
    docs = tmp_path / "docs"
    (docs / "写し.md").write_bytes((docs / "みさき号.md").read_bytes())
    (docs / "空.md").write_text("", "utf-8")
    told = refused(recipe)
    assert "2 mistake(s)" in told
    assert "line 2: the document fell: duplicate_document, docs/写し.md" in told
    assert "docs/みさき号.md, which is kept" in told
    assert "line 3: the document fell: empty, docs/空.md" in told


def test_questions_about_documents_over_the_limit_fall_with_them(tmp_path: Path) -> None:
    rows = [asked("あおば丸"), asked("みさき号.md", answer="120人"), asked("小夜風", answer="6人")]
    run = run_study(study_asking(tmp_path, rows, limit=1))
    (kept,) = questions_of(run)
    fallen = list(run.stage("questions").read("dropped", Dropped))
    assert {d.reason for d in fallen} == {"over_limit"}
    assert {d.kind for d in fallen} == {"Question"}
    assert all("limit 1" in d.evidence for d in fallen)
    asked_of = {json.loads(d.record)["reference"] for d in fallen}
    assert {*asked_of, kept.reference} == {"48人", "120人", "6人"}
    summary = run.stage("questions").summary() or {}
    assert summary["counts"] == {"in": 3, "out": 1, "dropped": 2, "reasons": {"over_limit": 2}}
    assert "there is no document '幻の船'" in refused(
        study_asking(tmp_path, [*rows, asked("幻の船")], limit=1)
    )


def test_names_can_be_checked_once_the_documents_are_read(tmp_path: Path) -> None:
    recipe = study_asking(tmp_path, [asked("あおば丸")])
    nothing: Any = None
    run = run_study(recipe)
    study = Study(load_recipe(recipe), tmp_path, run, nothing, nothing, nothing, [], nothing)
    check_given_questions(study)
    written(tmp_path, [asked("幻の船")])
    with pytest.raises(UserError, match="line 1: there is no document '幻の船'"):
        check_given_questions(study)
