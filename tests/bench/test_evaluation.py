"""The bench of benchmarks on a tiny model; lm-eval's side where it is installed."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from tiny_student import CHAT_TEMPLATE, make_model

ROOT = Path(__file__).parents[2]


def load_bench(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"bench_{name}", ROOT / "bench" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its frozen classes look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


bench = load_bench("evaluation")


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads only wait for one another on matrices as small as those of the tiny model."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that reads prompts as long as the bench's; a token is a byte."""
    made = make_model(tmp_path_factory.mktemp("model"), CHAT_TEMPLATE)
    config = json.loads((made / "config.json").read_text("utf-8"))
    config["max_position_embeddings"] = 8192
    (made / "config.json").write_text(json.dumps(config), "utf-8")
    return made


def outcome(predictions: list[str], evidence: list[Any]) -> Any:
    return bench.Outcome(1.0, 2.0, 1, predictions, evidence)


@pytest.mark.parametrize("name", ["jcommonsenseqa", "jsquad"])
def test_the_rows_are_the_prompts_that_we_ask(tmp_path: Path, name: str) -> None:
    task = replace(bench.TASKS[name], items=5)
    of = bench.prepared(task)
    bench.write_rows(tmp_path / "rows.jsonl", task, of)
    lines = (tmp_path / "rows.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["prompt"] for row in rows] == [
        request.messages[0].content for request in map(of.asking.completion, of.items)
    ]
    assert all(row["prompt"].count("### 応答:") == 1 + task.shots for row in rows)
    if task.is_choice:
        assert [row["choices"][row["gold"]] for row in rows] == [
            item.question.reference for item in of.items
        ]
        assert all(row["prompt"] == of.asking.choices(of.items[0])[0].context for row in rows[:1])


def test_both_sides_write_behind_the_same_chat_template(tmp_path: Path, folder: Path) -> None:
    task = replace(bench.TASKS["jsquad"], items=5)
    of = bench.prepared(task)
    bench.write_rows(tmp_path / "rows.jsonl", task, of)
    lines = (tmp_path / "rows.jsonl").read_text("utf-8").splitlines()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    # What lm-eval's apply_chat_template makes of a row.
    theirs = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": json.loads(line)["prompt"]}],
            add_generation_prompt=True,
            tokenize=False,
        )
        for line in lines
    ]
    student = bench.student(folder)
    requests = list(bench.reply_requests(of, of.items))
    ours = [student.rendered(request.messages, request.plain) for request in requests]
    assert [prompt.text for prompt in ours] == theirs
    assert all(text.endswith("### 応答:\n<|end|>\n<|assistant|>") for text in theirs)
    assert {request.sampling.stop for request in requests} == {("\n\n",)}


@pytest.mark.parametrize("name", ["jcommonsenseqa", "jsquad"])
def test_both_sides_predict_the_same(tmp_path: Path, folder: Path, name: str) -> None:
    pytest.importorskip("lm_eval")
    task = replace(bench.TASKS[name], items=3)
    bench.write_rows(tmp_path / "rows.jsonl", task, bench.prepared(task))
    ours = bench.run_ours(task, 3, folder)
    peer = bench.run_peer(task, 3, folder, tmp_path / "rows.jsonl", "2")
    assert len(ours.predictions) == len(peer.predictions) == 3
    assert bench.explained(task, ours, peer) == []


def test_our_side_alone_predicts_every_item(folder: Path) -> None:
    choices = bench.run_ours(replace(bench.TASKS["jcommonsenseqa"], items=3), 2, folder)
    assert len(choices.predictions) == 2
    assert set(choices.predictions) <= set("01234")
    assert [len(values) for values in choices.evidence] == [5, 5]
    replies = bench.run_ours(replace(bench.TASKS["jsquad"], items=3), 2, folder)
    assert len(replies.predictions) == 2
    assert all("\n\n" not in text for text in replies.evidence)


def test_a_difference_is_told_with_its_reason() -> None:
    ours = outcome(["1", "2", "0"], [[-3.0, -1.0], [-1.0, -1.0 + 1e-5], [0.0, -4.0]])
    peer = outcome(["1", "1", "1"], [[-3.0, -1.0], [-1.0 + 1e-5, -1.0], [-4.0, 0.0]])
    tie, wrong = bench.explained(bench.TASKS["jcommonsenseqa"], ours, peer)
    assert "item 1" in tie and "a tie up to rounding" in tie
    assert "item 2" in wrong and "more than rounding" in wrong
    ours, peer = outcome(["湖の舟"], ["湖の舟"]), outcome(["湖の船だ"], ["湖の船だ"])
    (parted,) = bench.explained(bench.TASKS["jsquad"], ours, peer)
    assert "part after 2 of 4 characters" in parted


def test_the_summary_compares_medians_and_predictions() -> None:
    task = replace(bench.TASKS["jcommonsenseqa"], items=2)
    rounds = {
        side: [replace(outcome(["1", "1"], [[0.0], [0.0]]), seconds=one) for one in seconds]
        for side, seconds in (("ours", (1.0, 9.0, 2.0)), ("lm_eval", (5.0, 6.0, 7.0)))
    }
    found = bench.summary(task, rounds, "4")
    assert (found["value"], found["ok"], found["same_predictions"]) == (3.0, True, 1.0)
    assert found["processor_ratio"] == 1.0
    assert found["items_per_second"] == {"ours": 1.0, "lm_eval": 0.33}
    slower = {"ours": rounds["lm_eval"], "lm_eval": rounds["ours"]}
    assert not bench.summary(task, slower, "4")["ok"]
