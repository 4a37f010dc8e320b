"""One question as it reaches the models."""

import json
from pathlib import Path

import pytest

from studies import run_study, write_study
from teichaku.backends.scripted import ScriptedStudent
from teichaku.core.models import RenderedPrompt
from teichaku.core.records import QuestionRequest
from teichaku.recipes.rendered_prompts import sounds_tuned_to_chat


def with_models(folder: Path, models: str) -> Path:
    small = "judge: {questions: 0}, controls: [], unanswerable: null, signals: null"
    return write_study(folder, evaluation=f"{{{small}, models: {{{models}}}}}")


def test_every_student_and_condition_has_its_prompt_with_token_ids(tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"no model")
    models = f"api: {{backend: llama_cpp, model: {tmp_path / 'broken.gguf'}}}"
    run = run_study(with_models(tmp_path, f"{models}, other: {{backend: scripted, model: b}}"))
    found = run.read_json("evaluation/prompt.json")
    told = [(one["arm"], one["condition"]) for one in found["prompts"]]
    conditions = ("closed_book", "open_book", "retrieval")
    assert told == [(arm, condition) for arm in ("base", "other") for condition in conditions]
    assert [one["arm"] for one in found["by_servers"]] == ["api"]
    asked = {
        row.condition: json.loads(row.messages)
        for row in run.stage("evaluation").read("requests", QuestionRequest)
        if row.question_id == found["question_id"]
    }
    for one in found["prompts"]:
        assert one["messages"] == asked[one["condition"]]
        assert "".join(map(chr, one["tokens"])) == one["text"] == one["messages"][-1]["content"]
        assert one["faults"] == []


def test_a_fault_is_written_by_its_name_and_told_in_the_headline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice = RenderedPrompt("<bos><bos>定員は？", (1, 1, 7, 8), 1, frozenset({1}), True, True)
    monkeypatch.setattr(ScriptedStudent, "rendered", lambda *_: twice)
    run = run_study(with_models(tmp_path, ""))
    prompts = run.read_json("evaluation/prompt.json")["prompts"]
    assert {tuple(one["faults"]) for one in prompts} == {("doubled_bos",)}
    caveats = run.read_json("report/report.json")["headline"]["caveats"]
    assert "base にプロンプトが正しく届いていません（文頭のトークンが二重）" in caveats[0]
    page = (run.path / "report" / "index.html").read_text("utf-8")
    assert "&lt;bos&gt;&lt;bos&gt;定員は？" in page
    assert "<b>1</b> <b>1</b> 7 8" in page


@pytest.mark.parametrize(
    ("name", "is_tuned"),
    [
        ("gemma-3-270m-it", True),
        ("Qwen/Qwen2.5-0.5B-Instruct", True),
        ("smollm2-135m-instruct", True),
        ("llama-2-7b-chat-hf", True),
        ("gemma-3-270m", False),
        ("models/chat/qwen3-base", False),
        ("bit-llm", False),
        ("", False),
    ],
)
def test_a_name_tells_whether_a_model_was_tuned_to_chat(name: str, is_tuned: bool) -> None:
    assert sounds_tuned_to_chat(name) is is_tuned
