"""One set of base weights serves the student, its trainer and every saved adapter."""

import json
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from teichaku.backends import transformers_weights as weights
from teichaku.backends.transformers import TransformersSettings, TransformersStudent
from teichaku.core.errors import UserError
from teichaku.core.models import AdapterSettings, ChatModel, OptimizerSettings
from teichaku.core.records import Message, Request, Sampling, TokenizedExample
from tiny_student import make_model, student

ADAPTER = AdapterSettings(rank=4, alpha=8.0, dropout=0.2, seed=3)
OTHER = AdapterSettings(rank=2, targets=("q_proj", "up_proj"), seed=5)
QUESTIONS = ("定員は？", "湖の深さは？", "船" * 20)
REQUESTS = [Request((Message("user", one),), Sampling(max_tokens=9)) for one in QUESTIONS]


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


class Loads:
    """Every load: the quantization, and how many sets of weights were in memory before it."""

    def __init__(self) -> None:
        self.quantizations: list[str] = []
        self.alive_before: list[int] = []
        self._models: list[Callable[[], object | None]] = []

    @property
    def alive(self) -> int:
        return sum(model() is not None for model in self._models)

    def note(self, quantization: str, load: Callable[[], Any]) -> Any:
        self.alive_before.append(self.alive)
        self.quantizations.append(quantization)
        model = load()
        self._models.append(weakref.ref(model))
        return model


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    """Counts loads; 4-bit weights, which need CUDA, are stood for by scaled ones."""
    seen, load_model = Loads(), weights.load_model

    def load(folder: Path, device: str, dtype: torch.dtype, quantization: str = "") -> Any:
        model = seen.note(quantization, lambda: load_model(folder, device, dtype))
        if quantization:
            model.get_input_embeddings().weight.data *= 0.5
        return model

    monkeypatch.setattr(weights, "load_model", load)
    return seen


def texts(model: ChatModel) -> list[str]:
    replies = {reply.request.messages[0].content: reply.text for reply in model.generate(REQUESTS)}
    return [replies[question] for question in QUESTIONS]


def examples(of: TransformersStudent) -> list[TokenizedExample]:
    answers = ("48人", "12.5 m", "檜")
    return [
        of.encode(question, [Message("user", question)], answer, 200)
        for question, answer in zip(QUESTIONS, answers, strict=True)
    ]


def train(
    of: TransformersStudent, adapter: AdapterSettings, folder: Path, ask: bool = False
) -> tuple[list[float], list[str]]:
    """Losses, and the answers of the tuned student; ``ask`` asks others in between."""
    trainer = of.trainer(adapter, OptimizerSettings())
    trainer.save_adapter(folder / "begun")
    losses = []
    for step in range(6):
        if ask and step % 2:
            texts(of)
            texts(of.with_adapter(folder / "begun"))
            texts(trainer.chat_model())
        losses.append(trainer.step(examples(of), 1e-2))
    trainer.save_adapter(folder / "done")
    return losses, texts(trainer.chat_model())


def test_one_load_serves_a_whole_study(folder: Path, tmp_path: Path, loads: Loads) -> None:
    one = student(folder)
    texts(one)
    train(one, ADAPTER, tmp_path / "a", ask=True)
    train(one, OTHER, tmp_path / "b", ask=True)
    tuned = [one.with_adapter(tmp_path / name / "done") for name in "ab"]
    models: list[ChatModel] = [one, *tuned]
    for model in models * 2:
        texts(model)
    assert len(loads.quantizations) == 1


def test_students_do_not_pile_up(folder: Path, loads: Loads) -> None:
    students = [student(folder) for _ in range(3)]
    for one in students:
        texts(one)
        one.trainer(ADAPTER, OptimizerSettings()).step(examples(one), 1e-2)
    assert loads.alive_before == [0, 0, 0]


def test_everyone_answers_as_on_weights_of_its_own(folder: Path, tmp_path: Path) -> None:
    apart = {name: student(folder) for name in ("base", "a", "b")}
    expected = [
        texts(apart["base"]),
        train(apart["a"], ADAPTER, tmp_path / "a"),
        train(apart["b"], OTHER, tmp_path / "b"),
    ]
    shared = student(folder)
    found = [
        texts(shared),
        train(shared, ADAPTER, tmp_path / "a2", ask=True),
        train(shared, OTHER, tmp_path / "b2", ask=True),
    ]
    assert found == expected
    tuned = {name: shared.with_adapter(tmp_path / name / "done") for name in ("a", "b", "a2", "b2")}
    assert texts(tuned["a"]) == texts(tuned["a2"]) == expected[1][1]
    assert texts(tuned["b"]) == texts(tuned["b2"]) == expected[2][1]
    assert texts(shared) == expected[0] != expected[1][1] != expected[2][1]
    assert tuned["a"].identity == tuned["a2"].identity


def test_streams_that_take_turns_keep_their_adapters(folder: Path, tmp_path: Path) -> None:
    one = student(folder, batch_size=1)
    train(one, ADAPTER, tmp_path)
    models = (one, one.with_adapter(tmp_path / "done"))
    expected = [[reply.text for reply in model.generate(REQUESTS)] for model in models]
    streams = [model.generate(REQUESTS) for model in models]
    turns = [[reply.text for reply in replies] for replies in zip(*streams, strict=True)]
    assert [list(column) for column in zip(*turns, strict=True)] == expected
    assert expected[0] != expected[1]


def test_an_earlier_trainer_is_of_no_use(folder: Path) -> None:
    one = student(folder)
    first = one.trainer(ADAPTER, OptimizerSettings())
    second = one.trainer(ADAPTER, OptimizerSettings())
    second.step(examples(one), 1e-3)
    with pytest.raises(RuntimeError, match="later one"):
        first.step(examples(one), 1e-3)


def test_what_does_not_fit_leaves_the_weights_as_they_were(folder: Path, tmp_path: Path) -> None:
    one = student(folder)
    before = texts(one)
    wrong = AdapterSettings(targets=("q_proj", "input_layernorm"))
    with pytest.raises(UserError, match="targets"):
        one.trainer(wrong, OptimizerSettings())
    assert texts(one) == before
    train(one, ADAPTER, tmp_path)
    settings = tmp_path / "done" / "adapter_config.json"
    settings.write_text(settings.read_text("utf-8").replace('"r": 4', '"r": 8'), "utf-8")
    with pytest.raises(UserError, match="does not fit"):
        texts(one.with_adapter(tmp_path / "done"))
    assert texts(one) == before


def test_a_saved_adapter_has_the_same_bytes_in_every_process(folder: Path, tmp_path: Path) -> None:
    train(student(folder), ADAPTER, tmp_path)
    targets = json.loads((tmp_path / "done" / "adapter_config.json").read_text("utf-8"))
    assert targets["target_modules"] == sorted(targets["target_modules"])
    assert sorted(path.name for path in (tmp_path / "done").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]


class TestFourBits:
    SETTINGS = AdapterSettings(rank=4, alpha=8.0, seed=3, quantization="4bit")

    def test_an_adapter_is_asked_on_the_weights_that_it_was_trained_on(
        self, folder: Path, tmp_path: Path, loads: Loads
    ) -> None:
        one = student(folder)
        trainer = one.trainer(self.SETTINGS, OptimizerSettings())
        base = texts(one)
        assert loads.alive == 2
        for _ in range(3):
            trainer.step(examples(one), 1e-2)
        assert loads.alive == 1
        trainer.save_adapter(tmp_path / "adapter")
        now, saved = trainer.chat_model(), one.with_adapter(tmp_path / "adapter")
        assert now.identity == saved.identity
        assert " 4bit adapter:" in saved.identity
        expected = texts(now)
        assert texts(saved) == expected != base
        assert loads.quantizations == ["4bit", ""]
        assert texts(student(folder).with_adapter(tmp_path / "adapter")) == expected
        assert loads.quantizations == ["4bit", "", "4bit"]

    def test_other_weights_are_another_model(
        self, folder: Path, tmp_path: Path, loads: Loads
    ) -> None:
        one = student(folder)
        one.trainer(self.SETTINGS, OptimizerSettings()).save_adapter(tmp_path / "four")
        (tmp_path / "full").mkdir()
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            (tmp_path / "full" / name).write_bytes((tmp_path / "four" / name).read_bytes())
        four, full = (one.with_adapter(tmp_path / name) for name in ("four", "full"))
        assert four.identity == full.identity.replace(" adapter", " 4bit adapter")

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA and bitsandbytes")
    def test_real_four_bits_answer_as_they_were_trained(self, folder: Path, tmp_path: Path) -> None:
        pytest.importorskip("bitsandbytes")
        one = student(folder)
        one._settings = TransformersSettings(device="cuda", dtype="bfloat16")
        trainer = one.trainer(self.SETTINGS, OptimizerSettings())
        losses = [trainer.step(examples(one), 1e-2) for _ in range(60)]
        assert losses[-1] < losses[0] / 2
        trainer.save_adapter(tmp_path / "adapter")
        expected = texts(trainer.chat_model())
        another = student(folder)
        another._settings = one._settings
        assert texts(another.with_adapter(tmp_path / "adapter")) == expected


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from teichaku.core.errors import UserError
from teichaku.core.models import AdapterSettings, OptimizerSettings
from teichaku.training.fine_tune import _write_folder
from tiny_student import student

folder = Path(sys.argv[1])
trainer = student(Path(sys.argv[2])).trainer(AdapterSettings(rank=4), OptimizerSettings())
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))
for write in (trainer.save, trainer.save_adapter):
    try:
        _write_folder(folder / "target", write)
    except UserError as error:
        print("USER", str(error).replace("\\n", " "))
"""


def test_a_full_disk_is_named_without_a_traceback(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path), str(folder)]
    tests = str(Path(__file__).parents[1])
    ran = subprocess.run(command, cwd=tests, capture_output=True, text=True, check=False)
    assert ran.stdout.count("USER") == ran.stdout.count("Make room on the disk") == 2, ran.stderr
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("part", ["model", "tokenizer"])
def test_a_full_disk_is_named_while_a_model_is_converted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    import transformers
    from safetensors import SafetensorError

    read = {
        "tokenizer": transformers.AutoTokenizer.from_pretrained(folder),
        "model": transformers.AutoModelForCausalLM.from_pretrained(folder),
    }

    def full(*_: object, **__: object) -> None:
        # What these packages raise for it, measured with RLIMIT_FSIZE.
        name = "No space left on device (os error 28)"
        raise SafetensorError(name) if part == "model" else Exception(name)

    for name, auto in (("tokenizer", "AutoTokenizer"), ("model", "AutoModelForCausalLM")):
        monkeypatch.setattr(
            getattr(transformers, auto), "from_pretrained", lambda *_, found=read[name], **__: found
        )
    monkeypatch.setattr(type(read[part]), "save_pretrained", full)
    with pytest.raises(UserError, match=r"No space left(.|\n)*Make room on the disk"):
        weights.as_safetensors(folder / "model.gguf", "gguf", "0" * 64, tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]
