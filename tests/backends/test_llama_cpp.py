import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from teichaku.backends import llama_cpp
from teichaku.backends.llama_cpp import LlamaCppModel
from teichaku.core.errors import MissingExtraError, ModelUnavailableError
from teichaku.core.records import Message, Request, Sampling
from teichaku.evaluation.answers import ANSWER_CUT, said_in

SCHEMA = {
    "type": "object",
    "properties": {"town": {"type": "string", "maxLength": 12}},
    "required": ["town"],
    "additionalProperties": False,
}


def ask(text: str, **fields: Any) -> Request:
    return Request((Message("user", text),), **fields)


class FakeEngine:
    """Streams what it is asked in two chunks, as the engine of xllamacpp does."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.gate = threading.Barrier(1)

    def handle_chat_completions(self, fields: dict[str, Any], take: Any) -> None:
        self.asked.append(fields)
        text = fields["messages"][-1]["content"]
        if text == "raises":
            raise ValueError("JSON schema error")
        if text == "refuses":
            error = {"type": "exceed_context_size_error", "n_prompt_tokens": 99, "n_ctx": 64}
            take({"error": {**error, "message": "too long"}})
            return
        self.gate.wait()
        if text in ("thinks", "collapsed"):
            if text == "thinks":
                take({"choices": [{"delta": {"reasoning_content": "まず、"}}]})
            take({"choices": [{"delta": {}, "finish_reason": "length"}]})
            return
        take({"choices": [{"delta": {"role": "assistant", "content": None}}]})
        for character in repeat("…") if text == "endless" else f"<think>…</think>{text}":
            if take({"choices": [{"delta": {"content": character}}]}):
                return
        take({"choices": [{"delta": {}, "finish_reason": "stop"}]})
        take({"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 3}})


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake = FakeEngine()
    monkeypatch.setattr(LlamaCppModel, "_load", lambda self: fake)
    return fake


def model_of(path: Path, **settings: Any) -> LlamaCppModel:
    return LlamaCppModel(path, name="tiny", sha256="abc", **settings)


def test_chunks_become_one_reply_with_reason_and_usage(engine: FakeEngine, tmp_path: Path) -> None:
    (reply,) = model_of(tmp_path).generate([ask("京都", subject=1)])
    assert (reply.text, reply.finish_reason, reply.error) == ("京都", "stop", "")
    assert (reply.prompt_tokens, reply.completion_tokens, reply.request.subject) == (4, 3, 1)


@pytest.mark.parametrize(("text", "is_cut"), [("thinks", True), ("collapsed", False)])
def test_a_model_that_wrote_no_text_was_not_cut_while_it_thought(
    engine: FakeEngine, tmp_path: Path, text: str, is_cut: bool
) -> None:
    (reply,) = model_of(tmp_path).generate([ask(text)])
    assert reply.finish_reason == "length"
    said, error = said_in(reply)
    assert (said, error.partition(":")[0]) == ("", ANSWER_CUT if is_cut else "")


def test_a_plain_text_comes_back_as_failed_and_the_others_are_answered(
    engine: FakeEngine, tmp_path: Path
) -> None:
    replies = list(model_of(tmp_path).generate([ask("そのまま", plain=True), ask("京都")]))
    said = {reply.request.messages[0].content: (reply.text, reply.error) for reply in replies}
    assert said["京都"] == ("京都", "")
    assert said["そのまま"][0] == "" and "chat template" in said["そのまま"][1]


def test_sampling_and_schema_are_passed_on(engine: FakeEngine, tmp_path: Path) -> None:
    sampling = Sampling(temperature=0.5, top_p=0.8, max_tokens=9, seed=3, stop=("x",))
    list(model_of(tmp_path).generate([ask("a", sampling=sampling, schema=SCHEMA)]))
    asked = engine.asked[0]
    assert [asked[name] for name in ("temperature", "top_p", "max_tokens", "seed", "stop")] == [
        0.5,
        0.8,
        9,
        3,
        ["x"],
    ]
    assert asked["response_format"]["json_schema"]["schema"] == SCHEMA


def test_failures_become_errors_and_harm_no_other_request(
    engine: FakeEngine, tmp_path: Path
) -> None:
    requests = [ask(text) for text in ("a", "raises", "refuses", "b")]
    replies = {
        reply.request.messages[0].content: reply for reply in model_of(tmp_path).generate(requests)
    }
    assert (replies["a"].text, replies["b"].text) == ("a", "b")
    assert "JSON schema error" in replies["raises"].error
    assert "99 tokens" in replies["refuses"].error
    assert "raise context_tokens" in replies["refuses"].error
    assert [text for text, reply in replies.items() if reply.final] == ["refuses"]


def test_as_many_requests_as_slots_run_together(engine: FakeEngine, tmp_path: Path) -> None:
    # Nobody passes the gate before three requests are in the engine at once.
    engine.gate = threading.Barrier(3, timeout=60)
    replies = list(model_of(tmp_path, slots=3).generate(ask(str(n)) for n in range(9)))
    assert sorted(reply.text for reply in replies) == [str(n) for n in range(9)]


def test_requests_are_pulled_as_they_are_needed(engine: FakeEngine, tmp_path: Path) -> None:
    pulled = 0

    def requests() -> Iterator[Request]:
        nonlocal pulled
        for number in range(1000):
            pulled += 1
            yield ask(str(number))

    replies = model_of(tmp_path, slots=2).generate(requests())
    for _ in range(10):
        next(replies)
    assert pulled <= 64
    replies.close()  # type: ignore[attr-defined]
    assert pulled <= 64


def test_prompts_that_begin_alike_are_read_one_after_another(
    engine: FakeEngine, tmp_path: Path
) -> None:
    asked = [ask(f"{frame} {number}") for number in range(5) for frame in ("set A", "set B")]
    replies = list(model_of(tmp_path).generate(asked))
    frames = [fields["messages"][-1]["content"][:5] for fields in engine.asked]
    assert frames == ["set A"] * 5 + ["set B"] * 5
    assert {reply.text for reply in replies} == {request.messages[0].content for request in asked}


def test_stopping_early_stops_the_engine_in_the_middle_of_a_reply(
    engine: FakeEngine, tmp_path: Path
) -> None:
    engine.gate = threading.Barrier(2, timeout=60)
    replies = model_of(tmp_path, slots=2).generate([ask("a"), ask("endless")])
    assert next(replies).text == "a"
    replies.close()  # type: ignore[attr-defined]
    assert not any("llama-cpp" in thread.name for thread in threading.enumerate())
    assert len(engine.asked) == 2


def test_the_model_is_loaded_by_the_first_request_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loaded: list[FakeEngine] = []

    def load(self: LlamaCppModel) -> FakeEngine:
        loaded.append(FakeEngine())
        return loaded[-1]

    monkeypatch.setattr(LlamaCppModel, "_load", load)
    model = model_of(tmp_path)
    assert list(model.generate([])) == []
    assert loaded == []
    list(model.generate([ask("a"), ask("b")]))
    assert len(loaded) == 1
    model.close()
    list(model.generate([ask("a")]))
    assert len(loaded) == 2


def test_identity_holds_name_and_hash(tmp_path: Path) -> None:
    assert model_of(tmp_path).identity == "llama_cpp:tiny#abc"


def test_without_the_engine_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(MissingExtraError, match="embedded"):
        list(model_of(tmp_path / "m.gguf").generate([ask("a")]))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="no model file"):
        list(model_of(tmp_path / "gone.gguf").generate([ask("a")]))


def test_a_file_that_is_no_model_is_named_without_engine_noise(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("xllamacpp")
    (tmp_path / "m.gguf").write_bytes(b"no model at all" * 100)
    with pytest.raises(ModelUnavailableError, match="cannot load"):
        list(model_of(tmp_path / "m.gguf").generate([ask("a")]))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("chosen", "seen"), [(None, "passive"), ("active", "active")])
def test_the_wait_policy_is_set_for_the_engine_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chosen: str | None, seen: str
) -> None:
    engine = "import os\nseen = os.environ['OMP_WAIT_POLICY']\n"
    (tmp_path / "xllamacpp.py").write_text(engine)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "xllamacpp", raising=False)
    if chosen is None:
        monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    else:
        monkeypatch.setenv("OMP_WAIT_POLICY", chosen)
    before = sys.modules.copy()
    try:
        assert llama_cpp._import_xllamacpp().seen == seen
    finally:
        sys.modules.pop("xllamacpp", None)
        sys.modules.update(before)
    assert os.environ.get("OMP_WAIT_POLICY") == chosen


@pytest.fixture(scope="module")
def smol() -> Iterator[LlamaCppModel]:
    pytest.importorskip("xllamacpp")
    from teichaku.backends.registry import resolve

    found = resolve("smollm2-135m-instruct")
    model = LlamaCppModel(
        found.path, name=found.name, sha256=found.sha256, slots=2, context_tokens=512, threads=1
    )
    yield model
    model.close()


@pytest.mark.models
def test_a_real_model_follows_the_schema_and_the_limits(
    smol: LlamaCppModel, capfd: pytest.CaptureFixture[str]
) -> None:
    requests = [
        ask("Name a town in France.", schema=SCHEMA, sampling=Sampling(max_tokens=40)),
        ask("Count to one hundred.", sampling=Sampling(max_tokens=4)),
        ask("much " * 2000),
        ask("Say hello.", schema={"type": "nonsense"}),
        ask("\ud800"),
    ]
    replies = sorted(smol.generate(requests), key=lambda reply: requests.index(reply.request))
    assert list(json.loads(replies[0].text)) == ["town"]
    assert (replies[1].finish_reason, replies[1].completion_tokens) == ("length", 4)
    assert "context 512" in replies[2].error
    assert [bool(reply.error) for reply in replies] == [False, False, True, True, True]
    assert capfd.readouterr() == ("", "")


@pytest.mark.models
def test_a_real_model_repeats_itself_for_the_same_seed_and_not_for_another_sample(
    smol: LlamaCppModel,
) -> None:
    hot = Sampling(temperature=1.5, max_tokens=12, seed=7)
    texts = []
    for sample_index in (0, 1, 0):
        (reply,) = smol.generate([ask("Tell a story.", sampling=hot, sample_index=sample_index)])
        texts.append(reply.text)
    assert texts[0] == texts[2] != texts[1]


@pytest.mark.models
def test_a_rendered_prompt_is_the_one_that_the_engine_reads(smol: LlamaCppModel) -> None:
    request = ask("定員は？", sampling=Sampling(max_tokens=1))
    rendered = smol.rendered(request.messages)
    (reply,) = smol.generate([request])
    assert len(rendered.tokens) == reply.prompt_tokens
    assert "<|im_start|>user\n定員は？<|im_end|>\n" in rendered.text
    assert rendered.has_chat_template
    assert rendered.bos in rendered.special < set(rendered.tokens)
    with pytest.raises(ValueError, match="chat template"):
        smol.rendered(request.messages, plain=True)


@pytest.mark.models
def test_nobody_else_on_the_machine_can_use_the_engine(smol: LlamaCppModel) -> None:
    address = f"{smol._loaded().listening_address}/v1/chat/completions"
    body = json.dumps({"messages": [{"role": "user", "content": "hello"}]}).encode()
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(urllib.request.Request(address, body))


INTERRUPTED = """
import os, signal, sys, threading
from pathlib import Path
from teichaku.backends.llama_cpp import LlamaCppModel
from teichaku.core.records import Message, Request, Sampling
model = LlamaCppModel(Path(sys.argv[1]), name="s", sha256="s", slots=1, threads=1)
long = Sampling(temperature=1.0, max_tokens=100_000)
requests = [Request((Message("user", t),), s) for t, s in [("a", Sampling(max_tokens=1)), ("b", long)]]
try:
    for reply in model.generate(requests):
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.models
def test_an_interrupt_ends_a_long_reply_and_the_process(smol: LlamaCppModel) -> None:
    from teichaku.backends.registry import pull

    command = [sys.executable, "-c", INTERRUPTED, str(pull("smollm2-135m-instruct"))]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "interrupted\n", "")
