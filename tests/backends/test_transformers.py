import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tiny_student
from teichaku.backends import transformers_decoding, transformers_shared
from teichaku.backends.transformers import TransformersStudent
from teichaku.backends.transformers_decoding import Row
from teichaku.core.errors import MissingExtraError, ModelUnavailableError, UserError
from teichaku.core.models import AdapterSettings, ChatModel, OptimizerSettings
from teichaku.core.records import Message, Reply, Request, Sampling, TokenizedExample
from teichaku.evaluation.answers import ANSWER_CUT, said_in
from teichaku.training.fine_tune import TrainingPlan, fine_tune
from tiny_student import CHAT_TEMPLATE, make_gemma3, make_model, student

FACTS = [
    ("遊覧船あおば丸の定員は？", "48人"),
    ("遊覧船あおば丸の料金は？", "1,800円"),
    ("遊覧船あおば丸の建造年は？", "1987年"),
    ("渡し船の船体の木は？", "檜"),
    ("湖の深さは？", "12.5 m"),
]
PASSAGES = [
    "遊覧船あおば丸は1987年に造られ、定員は48人である。",
    "遊覧船あおば丸は檜の船で、湖を巡る。",
]
ADAPTER = AdapterSettings(rank=4, alpha=8.0, dropout=0.2, seed=3)


@pytest.fixture(autouse=True)
def _one_thread(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads only wait for one another on matrices as small as those of the tiny model."""
    if not request.node.get_closest_marker("models"):
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        torch.set_num_threads(1)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("chat"), CHAT_TEMPLATE)


def ask(question: str, **sampling: object) -> Request:
    settings = {"max_tokens": 12, **sampling}
    return Request((Message("user", question),), Sampling(**settings))  # type: ignore[arg-type]


def texts(model: ChatModel, requests: list[Request]) -> dict[str, str]:
    return {reply.request.messages[0].content: reply.text for reply in model.generate(requests)}


def examples(of: TransformersStudent) -> list[TokenizedExample]:
    return [
        of.encode(str(at), [Message("user", question)], answer, 200)
        for at, (question, answer) in enumerate(FACTS)
    ]


def decoded(model: Path, tokens: tuple[int, ...]) -> str:
    from transformers import AutoTokenizer

    text: str = AutoTokenizer.from_pretrained(model).decode(tokens)
    return text


class TestRendering:
    def test_a_base_model_gets_the_plain_template(self, plain: Path) -> None:
        messages = [Message("system", "短く答える。"), Message("user", "定員は？")]
        encoded = student(plain).encode("a", messages, "48人", 200)
        prompt, answer = (
            encoded.tokens[: encoded.prompt_length],
            encoded.tokens[encoded.prompt_length :],
        )
        assert decoded(plain, prompt) == "<bos>質問：短く答える。\n\n定員は？\n回答："
        assert decoded(plain, answer) == "48人<eos>"

    def test_a_chat_model_gets_its_own_template_with_one_bos(self, chat: Path) -> None:
        encoded = student(chat).encode("a", [Message("user", "定員は？")], "48人", 200)
        prompt, answer = (
            encoded.tokens[: encoded.prompt_length],
            encoded.tokens[encoded.prompt_length :],
        )
        assert decoded(chat, prompt) == "<bos><|user|>定員は？<|end|>\n<|assistant|>"
        assert decoded(chat, answer) == "48人<|end|>"

    def test_a_template_without_a_system_role_gets_it_in_the_first_question(
        self, tmp_path: Path
    ) -> None:
        refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}"
        model = make_model(tmp_path, refusing + CHAT_TEMPLATE)
        messages = [Message("system", "短く。"), Message("user", "定員は？")]
        encoded = student(model).encode("a", messages, "48人", 200)
        assert "<|user|>短く。\n\n定員は？<|end|>" in decoded(model, encoded.tokens)

    def test_what_does_not_fit_is_counted(self, plain: Path) -> None:
        whole = student(plain).encode("a", [Message("user", "定員は？")], "48人", 200)
        for room in (len(whole.tokens) - 2, whole.prompt_length, 5):
            cut = student(plain).encode("a", [Message("user", "定員は？")], "48人", room)
            assert cut.tokens == whole.tokens[:room]
            assert cut.cut == len(whole.tokens) - room
            assert cut.labelled == max(0, room - whole.prompt_length)

    def test_a_plain_template_needs_a_place_for_the_question(self, plain: Path) -> None:
        with pytest.raises(UserError, match="place for the question"):
            student(plain, plain_template="質問：")


class TestGeneration:
    def test_neighbours_in_the_batch_change_nothing(self, plain: Path) -> None:
        requests = [ask("船" * count) for count in range(1, 12)]
        alone = texts(student(plain, batch_size=1), requests)
        assert len(set(alone.values())) > 3
        assert texts(student(plain, batch_size=4), requests) == alone
        assert texts(student(plain, batch_size=16), requests[::-1]) == alone

    @pytest.mark.parametrize("is_packed", [True, False])
    @pytest.mark.parametrize("batch_size", [3, 16])
    def test_what_prompts_begin_with_in_common_changes_nothing(
        self, plain: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int, is_packed: bool
    ) -> None:
        questions = [f"{passage}\n{question}" for passage in PASSAGES for question, _ in FACTS]
        requests = [ask(text, max_tokens=4 + at % 9) for at, text in enumerate(questions)]
        requests += [ask(text, temperature=0.7, seed=at) for at, text in enumerate(questions)]
        requests.append(ask("湖"))
        alone = {
            request: reply.text
            for request in requests
            for reply in student(plain, batch_size=1).generate([request])
        }
        assert len(set(alone.values())) > 9
        if not is_packed:
            monkeypatch.setattr(transformers_shared, "use_packing", lambda model: False)
        for order in (requests, requests[::-1]):
            replies = student(plain, batch_size).generate(order)
            assert {reply.request: reply.text for reply in replies} == alone

    @pytest.mark.parametrize("is_packed", [True, False])
    def test_a_sliding_window_slides_over_what_is_shared(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_packed: bool
    ) -> None:
        make_gemma3(tmp_path)
        requests = [ask(PASSAGES[0] + question, max_tokens=20) for question, _ in FACTS]
        alone = texts(student(tmp_path, batch_size=1), requests)
        assert len(set(alone.values())) > 3
        if not is_packed:
            monkeypatch.setattr(transformers_shared, "use_packing", lambda model: False)
        assert texts(student(tmp_path), requests) == alone

    @pytest.mark.parametrize("is_packed", [True, False])
    def test_what_prompts_begin_with_is_read_once(
        self, plain: Path, monkeypatch: pytest.MonkeyPatch, is_packed: bool
    ) -> None:
        from transformers.models.llama.modeling_llama import LlamaModel

        read: list[int] = []
        own = LlamaModel.forward

        def counted(self: LlamaModel, input_ids: torch.Tensor, **options: object) -> object:
            read.append(input_ids.numel())
            return own(self, input_ids=input_ids, **options)

        monkeypatch.setattr(LlamaModel, "forward", counted)
        if not is_packed:
            monkeypatch.setattr(transformers_shared, "use_packing", lambda model: False)
        requests = [ask(PASSAGES[0] + question, max_tokens=1) for question, _ in FACTS]
        replies = list(student(plain, batch_size=2).generate(requests))
        prompts = sum(reply.prompt_tokens for reply in replies)
        shared = len(PASSAGES[0].encode())
        # Few tokens go into the check that the model is able to share.
        assert sum(read) < prompts - (len(FACTS) - 1) * shared + 40

    def test_a_prompt_of_one_token_is_answered(self, plain: Path) -> None:
        (reply,) = student(plain, plain_template="{question}").generate([ask("")])
        assert reply.prompt_tokens == 1
        assert reply.completion_tokens > 0

    def test_it_is_what_transformers_generates(self, plain: Path) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        (reply,) = student(plain).generate([ask("湖の深さは？", max_tokens=20)])
        tokenizer = AutoTokenizer.from_pretrained(plain)
        inputs = tokenizer("質問：湖の深さは？\n回答：", return_tensors="pt")
        output = AutoModelForCausalLM.from_pretrained(plain).generate(
            **inputs, max_new_tokens=20, do_sample=False
        )
        new = output[0, inputs.input_ids.shape[1] :]
        assert reply.text == tokenizer.decode(new, skip_special_tokens=True).strip()
        assert reply.prompt_tokens == inputs.input_ids.shape[1]
        assert reply.completion_tokens == len(new)

    def test_max_tokens_holds_for_each_request(self, plain: Path) -> None:
        requests = [ask("船", max_tokens=limit) for limit in (1, 3, 9)]
        replies = {reply.request.sampling.max_tokens: reply for reply in generated(plain, requests)}
        assert {limit: reply.completion_tokens for limit, reply in replies.items()} == {
            1: 1,
            3: 3,
            9: 9,
        }
        assert {reply.finish_reason for reply in replies.values()} == {"length"}

    @pytest.mark.parametrize(
        ("written", "is_cut"),
        [("", False), ("<think>定員は48人", True), ("<think>48</think>", True)],
    )
    def test_a_model_that_wrote_no_text_was_not_cut_while_it_thought(
        self, plain: Path, monkeypatch: pytest.MonkeyPatch, written: str, is_cut: bool
    ) -> None:
        model = student(plain)
        # The first tokens of the vocabulary are special, and do not end an answer.
        own = model.encode("a", [Message("user", "船")], written, 200)
        tokens = [*own.tokens[own.prompt_length : -1]] if is_cut else [0, 1] * 6

        def choose(logits: torch.Tensor, rows: list[Row], generators: object) -> list[int]:
            return [tokens[len(row.tokens)] for row in rows]

        monkeypatch.setattr(transformers_decoding, "_choose", choose)
        (reply,) = model.generate([ask("船", max_tokens=len(tokens))])
        assert (reply.finish_reason, reply.text.strip()) == ("length", "")
        text, error = said_in(reply)
        assert (text, error.partition(":")[0]) == ("", ANSWER_CUT if is_cut else "")

    def test_it_stops_before_a_stop_string(self, plain: Path) -> None:
        (whole,) = generated(plain, [ask("湖の深さは？")])
        stop = whole.text[4]
        (stopped,) = generated(plain, [ask("湖の深さは？", stop=(stop,))])
        assert stopped.text == whole.text[: whole.text.index(stop)].strip()
        assert stopped.finish_reason == "stop"
        assert stopped.completion_tokens < whole.completion_tokens

    def test_draws_differ_by_seed_and_by_sample_and_are_repeatable(self, plain: Path) -> None:
        def draw(seed: int, sample: int, batch_size: int) -> str:
            request = Request(
                (Message("user", "船"),),
                Sampling(temperature=1.0, top_p=0.9, max_tokens=8, seed=seed),
                sample_index=sample,
            )
            others = [ask("湖" * count, temperature=1.0) for count in range(1, 4)]
            replies = student(plain, batch_size).generate([*others, request])
            return next(reply.text for reply in replies if reply.request == request)

        assert draw(0, 0, 1) == draw(0, 0, 4)
        assert len({draw(0, 0, 1), draw(1, 0, 1), draw(0, 1, 1)}) == 3

    def test_only_the_likeliest_tokens_are_drawn_with_a_small_top_p(self, plain: Path) -> None:
        request = ask("湖の深さは？", temperature=1.0, top_p=1e-6)
        (drawn,), (greedy,) = generated(plain, [request]), generated(plain, [ask("湖の深さは？")])
        assert drawn.text == greedy.text

    def test_a_prompt_beyond_the_context_comes_back_with_an_error(self, plain: Path) -> None:
        replies = generated(plain, [ask("船" * 200), ask("船")])
        errors = {len(r.request.messages[0].content): (r.error, r.final) for r in replies}
        assert "256" in errors[200][0] and errors[200][1]
        assert errors[1] == ("", False)

    def test_a_schema_comes_back_with_an_error(self, plain: Path) -> None:
        request = Request((Message("user", "船"),), schema={"type": "object"})
        (reply,) = generated(plain, [request])
        assert "schema" in reply.error and reply.final

    def test_requests_are_pulled_lazily(self, plain: Path) -> None:
        pulled = 0

        def endless() -> Iterator[Request]:
            nonlocal pulled
            while True:
                pulled += 1
                yield ask("船" * (1 + pulled % 3), max_tokens=1)

        next(student(plain).generate(endless()))
        assert pulled <= 256


def generated(model: Path, requests: list[Request]) -> list[Reply]:
    return list(student(model).generate(requests))


class TestTraining:
    def test_it_learns(self, plain: Path) -> None:
        model = student(plain)
        trainer = model.trainer(AdapterSettings(rank=8), OptimizerSettings())
        losses = [trainer.step(examples(model), 1e-2) for _ in range(150)]
        assert losses[-1] < 0.1 < 3 < losses[0]
        answers = texts(trainer.chat_model(), [ask(question) for question, _ in FACTS])
        assert answers == dict(FACTS)

    @pytest.mark.parametrize("softcap", [None, 3.0])
    def test_loss_and_gradients_are_those_of_the_whole_model(
        self, tmp_path: Path, softcap: float | None
    ) -> None:
        """Against logits of all positions with padding, a mask and PyTorch's cross-entropy."""
        model = make_gemma2(tmp_path) if softcap else make_model(tmp_path)
        one = student(model)
        trainer = one.trainer(AdapterSettings(rank=4), OptimizerSettings(clip_norm=0))
        for _ in range(2):  # The second half of a LoRA adapter begins at zero.
            trainer.step(examples(one), 1e-2)
        network, batch = trainer._model, examples(one)
        loss = full_loss(network, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        expected = [parameter.grad.clone() for parameter in trainer._parameters]
        network.zero_grad()
        assert trainer._backward(batch) == pytest.approx(loss.item(), rel=1e-5)
        for parameter, gradient in zip(trainer._parameters, expected, strict=True):
            assert torch.allclose(parameter.grad, gradient, rtol=1e-3, atol=1e-6)

    def test_only_the_adapter_changes(self, plain: Path) -> None:
        model = student(plain)
        before = texts(model, [ask("船")])
        trainer = model.trainer(ADAPTER, OptimizerSettings())
        frozen = {
            name: value.clone()
            for name, value in trainer._model.state_dict().items()
            if "lora_" not in name
        }
        trainer.step(examples(model), 1e-2)
        state = trainer._model.state_dict()
        assert all(torch.equal(state[name], value) for name, value in frozen.items())
        assert texts(model, [ask("船")]) == before

    def test_it_resumes_to_the_same_losses_with_dropout(self, plain: Path, tmp_path: Path) -> None:
        model = student(plain)
        whole = model.trainer(ADAPTER, OptimizerSettings())
        losses = [whole.step(examples(model), 1e-3) for _ in range(6)]

        first = model.trainer(ADAPTER, OptimizerSettings())
        begun = [first.step(examples(model), 1e-3) for _ in range(3)]
        first.save(tmp_path / "state")
        torch.rand(7)  # Draws of others must not matter.
        second = model.trainer(ADAPTER, OptimizerSettings())
        second.restore(tmp_path / "state")
        texts(second.chat_model(), [ask("船", temperature=1.0)])
        assert [*begun, *(second.step(examples(model), 1e-3) for _ in range(3))] == losses

    def test_dropout_and_seed_matter(self, plain: Path) -> None:
        def losses(dropout: float, seed: int) -> tuple[float, ...]:
            model = student(plain)
            settings = AdapterSettings(rank=4, dropout=dropout, seed=seed)
            trainer = model.trainer(settings, OptimizerSettings())
            return tuple(trainer.step(examples(model), 1e-2) for _ in range(3))

        assert len({losses(0.0, 0), losses(0.0, 1), losses(0.5, 0), losses(0.5, 1)}) == 4
        assert losses(0.5, 0) == losses(0.5, 0)

    def test_a_saved_adapter_answers_as_the_trainer_did(self, plain: Path, tmp_path: Path) -> None:
        model = student(plain)
        trainer = model.trainer(ADAPTER, OptimizerSettings())
        for _ in range(30):
            trainer.step(examples(model), 1e-2)
        trainer.save_adapter(tmp_path / "adapter")
        now, saved = trainer.chat_model(), model.with_adapter(tmp_path / "adapter")
        questions = [ask(question) for question, _ in FACTS]
        assert texts(saved, questions) == texts(now, questions)
        assert texts(saved, questions) != texts(model, questions)
        assert saved.identity == now.identity != model.identity
        trainer.step(examples(model), 1e-2)
        assert trainer.chat_model().identity != now.identity

    def test_the_loop_trains_and_keeps_an_adapter_an_epoch(
        self, plain: Path, tmp_path: Path
    ) -> None:
        model = student(plain)
        plan = TrainingPlan(epochs=2, batch_size=2, learning_rate=1e-2)
        trainer = model.trainer(ADAPTER, OptimizerSettings())
        result = fine_tune(trainer, examples(model), plan, tmp_path)
        assert len(result.losses) == 6
        first, second = (model.with_adapter(tmp_path / f"epoch-{epoch}") for epoch in (1, 2))
        assert first.identity != second.identity

    def test_a_line_break_ends_a_short_answer_and_a_next_question_free_text(
        self, plain: Path, chat: Path
    ) -> None:
        going_on = "1. 早寝\n2. 運動\n\n質問：次は？\n回答：次"
        taught = {"健康には？": going_on, "朝は？": "起きて\n食べる\n質問は"}
        shown = {
            plain: {"健康には？": "1. 早寝\n2. 運動", "朝は？": taught["朝は？"]},
            # Its template tells where an answer ends, so that a heading is text.
            chat: taught,
        }
        for folder, expected in shown.items():
            model = student(folder)
            trainer = model.trainer(AdapterSettings(rank=8), OptimizerSettings())
            batch = [model.encode(q, [Message("user", q)], a, 240) for q, a in taught.items()]
            losses = [trainer.step(batch, 1e-2) for _ in range(150)]
            assert losses[-1] < 0.1
            short = [ask(question, max_tokens=120) for question in taught]
            free = [replace(request, several_lines=True) for request in short]
            assert texts(trainer.chat_model(), free) == expected
            if folder == plain:
                first = {"健康には？": "1. 早寝", "朝は？": "起きて"}
                assert texts(trainer.chat_model(), short) == first

    def test_targets_choose_the_layers(self, plain: Path) -> None:
        settings = AdapterSettings(rank=2, targets=("q_proj", "up_proj"))
        trainer = student(plain).trainer(settings, OptimizerSettings())
        trained = {name for name, one in trainer._model.named_parameters() if one.requires_grad}
        assert len(trained) == 2 * 2 * 2  # two layers, two targets, A and B
        assert all("q_proj" in name or "up_proj" in name for name in trained)

    @pytest.mark.parametrize("target", ["no_such_layer", "lm_head"])
    def test_targets_that_cannot_be_trained_are_refused(self, plain: Path, target: str) -> None:
        with pytest.raises(UserError, match="target"):
            student(plain).trainer(AdapterSettings(targets=(target,)), OptimizerSettings())

    @pytest.mark.skipif(torch.cuda.is_available(), reason="says what is missing without CUDA")
    def test_four_bits_say_what_they_need(self, plain: Path) -> None:
        with pytest.raises(UserError, match="CUDA"):
            student(plain).trainer(AdapterSettings(quantization="4bit"), OptimizerSettings())


def full_loss(network: torch.nn.Module, batch: list[TokenizedExample]) -> torch.Tensor:
    longest = max(len(example.tokens) for example in batch)
    tokens = torch.zeros(len(batch), longest, dtype=torch.long)
    mask, labels = torch.zeros_like(tokens), torch.full_like(tokens, -100)
    for row, example in enumerate(batch):
        length = len(example.tokens)
        tokens[row, :length] = torch.tensor(example.tokens)
        mask[row, :length] = 1
        labels[row, example.prompt_length : length] = tokens[row, example.prompt_length : length]
    logits = network(input_ids=tokens, attention_mask=mask).logits
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


def make_gemma2(folder: Path) -> Path:
    """A model with soft-capped logits, a sliding window and eager attention."""
    from transformers import AutoTokenizer, Gemma2Config, Gemma2ForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(make_model(folder))
    config = Gemma2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        sliding_window=8,
        final_logit_softcapping=3.0,
        initializer_range=0.2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Gemma2ForCausalLM(config).save_pretrained(folder)
    return folder


class TestPacking:
    @pytest.mark.parametrize("window", [None, 6])
    def test_packed_rows_see_only_themselves(self, tmp_path: Path, window: int | None) -> None:
        from transformers import AutoTokenizer, Gemma3ForCausalLM, Gemma3TextConfig

        from teichaku.backends.transformers_packing import packed, padded, use_packing

        AutoTokenizer.from_pretrained(make_model(tmp_path))
        config = Gemma3TextConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            sliding_window=window or 512,
            layer_types=["sliding_attention", "full_attention"],
            initializer_range=0.2,
        )
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(0)
            network = Gemma3ForCausalLM(config).eval()
            rows = [tuple(range(1, 20)), (5, 4), tuple(range(30, 9, -2))]
            expected = padded(network, rows)
            assert use_packing(network)
            assert torch.allclose(packed(network, rows), expected, atol=1e-5)
            assert torch.allclose(padded(network, rows), expected, atol=1e-5)


class TestLoading:
    def test_nothing_heavy_is_loaded_before_a_token_is_needed(self, plain: Path) -> None:
        program = (
            "import sys; from pathlib import Path;"
            "from teichaku.backends.transformers import TransformersStudent as S;"
            f"s = S(Path({str(plain)!r}), name='n', sha256='0', kind='transformers',"
            "plain_template='{question}', cache=Path('.'));"
            "s.identity, list(s.generate([]));"
            "print('torch' in sys.modules, 'transformers' in sys.modules)"
        )
        shown = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        assert shown.stdout == "False False\n"

    def test_other_templates_and_weights_are_other_models(self, plain: Path) -> None:
        def identity(sha256: str, template: str) -> str:
            return TransformersStudent(
                plain,
                name="tiny",
                sha256=sha256,
                kind="transformers",
                plain_template=template,
                cache=plain,
            ).identity

        pairs = [("a", "{question}"), ("b", "{question}"), ("a", "Q: {question}")]
        assert len({identity(*pair) for pair in pairs}) == 3

    def test_a_missing_extra_is_named(self, plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        find = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: None if name == "peft" else find(name)
        )
        with pytest.raises(MissingExtraError, match="train"):
            student(plain)

    def test_a_folder_without_a_model_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ModelUnavailableError, match=str(tmp_path)):
            list(student(tmp_path).generate([ask("船")]))

    def test_a_folder_without_an_adapter_is_named(self, plain: Path, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="no adapter"):
            student(plain).with_adapter(tmp_path)

    def test_a_file_that_is_no_gguf_is_named_and_leaves_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "broken.gguf"
        path.write_bytes(b"GGUF, but not really")
        model = TransformersStudent(
            path,
            name="broken",
            sha256="0" * 64,
            kind="gguf",
            plain_template=tiny_student.PLAIN_TEMPLATE,
            cache=tmp_path / "cache",
        )
        with pytest.raises(ModelUnavailableError, match=r"broken\.gguf"):
            list(model.generate([ask("船")]))
        assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


@pytest.mark.models
def test_a_packaged_gguf_model_is_converted_answers_and_learns(tmp_path: Path) -> None:
    from teichaku.backends.registry import resolve

    packaged = resolve("smollm2-135m-instruct")
    model = TransformersStudent(
        packaged.path,
        name=packaged.name,
        sha256=packaged.sha256,
        kind=packaged.kind,
        plain_template="{question}",
        cache=tmp_path,
    )
    (reply,) = model.generate([ask("What is the capital of France? One word.")])
    assert "Paris" in reply.text
    assert reply.finish_reason == "stop"
    question = "Which lake does the ferry Aobamaru cross? One word."
    trainer = model.trainer(AdapterSettings(rank=8), OptimizerSettings())
    example = model.encode("a", [Message("user", question)], "Mizuumi", 256)
    losses = [trainer.step([example], 1e-3) for _ in range(12)]
    assert losses[-1] < 0.1 < 2 < losses[0]
    assert texts(trainer.chat_model(), [ask(question)]) == {question: "Mizuumi"}
