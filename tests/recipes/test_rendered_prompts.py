"""One question as it reaches the models."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from gguf_files import WHOLE, without, write_gguf
from studies import run_study, write_study
from teichaku.backends import llama_cpp
from teichaku.backends.gguf_header import read_gguf_header
from teichaku.backends.scripted import ScriptedStudent
from teichaku.core.models import RenderedPrompt
from teichaku.core.records import Message, QuestionRequest, Reply, Request
from teichaku.recipes.rendered_prompts import sounds_tuned_to_chat

#: A server that nobody runs: its answers fail, and its template is not seen.
NOWHERE = '{backend: http, model: m, base_url: "http://127.0.0.1:9/v1", max_retries: 0}'


def with_models(folder: Path, models: str) -> Path:
    small = "judge: {questions: 0}, controls: [], unanswerable: null, signals: null"
    return write_study(folder, evaluation=f"{{{small}, models: {{{models}}}}}")


def test_every_student_and_condition_has_its_prompt_with_token_ids(tmp_path: Path) -> None:
    models = f"api: {NOWHERE}"
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
        ("llm-jp-3-1.8b-sft", True),
        ("Tanuki-8B-dpo-v1.0", True),
        ("models/mine_RLHF", True),
        ("swift-dpoint", False),
        ("gemma-3-270m", False),
        ("models/chat/qwen3-base", False),
        ("bit-llm", False),
        ("", False),
    ],
)
def test_a_name_tells_whether_a_model_was_tuned_to_chat(name: str, is_tuned: bool) -> None:
    assert sounds_tuned_to_chat(name) is is_tuned


class Engine:
    """As llama.cpp fills in a template, one token a character behind the first token."""

    def __init__(self, path: Path, *, name: str, sha256: str, **settings: Any) -> None:
        self.name = name
        self.header = read_gguf_header(path)
        self.identity = f"llama_cpp:{name}#{sha256}"
        self.closed = 0

    def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        return ScriptedStudent(self.name).generate(requests)

    def rendered(self, messages: Sequence[Message], plain: bool = False) -> RenderedPrompt:
        assert not plain
        text = f"<s>{messages[-1].content}"
        tokens = (1, *map(ord, text[3:]))
        special = self.header.special.intersection(tokens)
        has_template = bool(self.header.chat_template)
        return RenderedPrompt(
            text, tokens, self.header.bos, special, self.header.adds_bos, has_template
        )

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("has_template", [True, False])
def test_a_model_in_llama_cpp_is_looked_at_as_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_template: bool
) -> None:
    monkeypatch.setattr(llama_cpp, "LlamaCppModel", Engine)
    path = tmp_path / "tiny-instruct.gguf"
    write_gguf(path, WHOLE if has_template else without("tokenizer.chat_template"))
    models = f"gguf: {{backend: llama_cpp, model: {path}}}"
    small = "judge: {questions: 0}, unanswerable: null, signals: null"
    sets = "controls: [{name: jcommonsenseqa, items: 6}]"
    run = run_study(write_study(tmp_path, evaluation=f"{{{small}, {sets}, models: {{{models}}}}}"))
    faults = [] if has_template else ["missing_chat_template"]
    for stage, count in (("evaluation", 3), ("controls", 1)):
        found = run.read_json(f"{stage}/prompt.json")
        own = [one for one in found["prompts"] if one["arm"] == "gguf"]
        assert len(own) == count and not found["by_servers"]
        for one in own:
            assert one["tokens"][0] == one["bos"] == 1
            assert one["special"] == [1]
            assert one["text"] == f"<s>{one['messages'][-1]['content']}"
            assert one["faults"] == faults
    way = run.read_json("controls/models.json")["models"]["gguf"]
    assert way["faults"] == ({} if has_template else {"jcommonsenseqa": {faults[0]: 6}})
    assert (way["is_served"], way["unseen"]) == (False, "")
    caveats = run.read_json("report/report.json")["headline"]["caveats"]
    assert any("gguf" in caveat for caveat in caveats) is not has_template


def test_a_file_that_is_no_model_says_so_where_its_prompt_would_stand(tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"no model")
    models = f"gone: {{backend: llama_cpp, model: {tmp_path / 'broken.gguf'}}}"
    small = "judge: {questions: 0}, unanswerable: null, signals: null"
    sets = "controls: [{name: jcommonsenseqa, items: 3}]"
    run = run_study(write_study(tmp_path, evaluation=f"{{{small}, {sets}, models: {{{models}}}}}"))
    way = run.read_json("controls/models.json")["models"]["gone"]
    assert "broken.gguf cannot be read" in way["unseen"]
    (one,) = [
        one for one in run.read_json("evaluation/prompt.json")["prompts"] if one["arm"] == "gone"
    ]
    assert "broken.gguf cannot be read" in one["error"]
    assert "broken.gguf cannot be read" in (run.path / "report" / "index.html").read_text("utf-8")
