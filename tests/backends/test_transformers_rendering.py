from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tokenizers import AddedToken
from transformers import AutoTokenizer, LlamaConfig

from teichaku.backends.transformers_decoding import Answerer
from teichaku.backends.transformers_rendering import Renderer
from teichaku.core.records import Message, Reply, Request, Sampling
from teichaku.evaluation.benchmarks.prepared import prepare_published
from teichaku.evaluation.benchmarks.prompt_checks import prompt_faults
from tiny_student import CHAT_TEMPLATE, PLAIN_TEMPLATE, make_model

QUESTION = [Message("user", "定員は？")]
EMPTY = "<think>\n\n</think>\n\n"
TURN = "<|{{ message.role }}|>%s{{ message.content }}<|end|>\n"
FINISHED = "{% if message.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}"
OFF = (
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
)


def thinking_template(finished: str, opened: str) -> str:
    """What stands before a finished answer, and at the end of a prompt."""
    turns = "{% for message in messages %}" + TURN % finished + "{% endfor %}"
    return turns + "{% if add_generation_prompt %}<|assistant|>" + opened + "{% endif %}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


def renderer(folder: Path, chat_template: str = "") -> Renderer:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = chat_template or None
    return Renderer(tokenizer, PLAIN_TEMPLATE)


class TestWhereAnAnswerEnds:
    @pytest.mark.parametrize("template", ["", CHAT_TEMPLATE])
    def test_added_tokens_that_are_text_end_nothing(self, folder: Path, template: str) -> None:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.add_tokens([AddedToken("\n", special=False), AddedToken("<td>", special=False)])
        tokenizer.chat_template = template or None
        rendered = Renderer(tokenizer, PLAIN_TEMPLATE)
        answer = "一行目\n<td>二行目"
        _, labels = rendered.prompt_and_answer(QUESTION, answer)
        end = "<|end|>" if template else "<eos>"
        assert tokenizer.decode(labels) == answer + end
        assert {tokenizer.decode([token]) for token in rendered.end_tokens()} <= {"<eos>", end}

    def test_it_is_the_first_special_token_after_the_answer(self, folder: Path) -> None:
        template = CHAT_TEMPLATE.replace("<|end|>", "<|end|><eos>")
        rendered = renderer(folder, template)
        for answer in ("48人", "end", "1,800円<|end|>です", " 檜 ", ""):
            _, labels = rendered.prompt_and_answer(QUESTION, answer)
            assert rendered._tokenizer.decode(labels) == answer + "<|end|>"

    def test_text_is_no_end_where_nothing_special_follows(self, folder: Path) -> None:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.chat_template = CHAT_TEMPLATE.replace("<|end|>", "")
        tokenizer.eos_token = None
        rendered = Renderer(tokenizer, PLAIN_TEMPLATE)
        assert rendered.end_tokens() == frozenset()


class TestRunningText:
    @pytest.mark.parametrize("template", ["", CHAT_TEMPLATE])
    def test_it_has_no_template_and_all_but_its_beginning_is_learnt(
        self, folder: Path, template: str
    ) -> None:
        rendered = renderer(folder, template)
        prompt, labels = rendered.prompt_and_answer((), "船体は檜。")
        assert rendered._tokenizer.decode(prompt) == "<bos>"
        assert rendered._tokenizer.decode(labels) == "船体は檜。<eos>"

    def test_where_texts_begin_with_nothing_the_first_token_of_its_own_is_not_learnt(
        self, folder: Path
    ) -> None:
        rendered = renderer(folder)
        rendered._tokenizer = AutoTokenizer.from_pretrained(folder)
        rendered._tokenizer.backend_tokenizer.post_processor = None
        prompt, labels = rendered.prompt_and_answer((), "船体は檜。")
        assert len(prompt) == 1
        assert rendered._tokenizer.decode([*prompt, *labels]) == "船体は檜。<eos>"


class TestThinking:
    @pytest.mark.parametrize(
        ("finished", "opened"),
        [
            pytest.param(FINISHED, OFF, id="can be turned off"),
            pytest.param("", OFF, id="can be turned off and leaves no trace"),
            pytest.param(FINISHED, "", id="in finished answers only"),
            pytest.param("", "<think>\n", id="always begun"),
            pytest.param(FINISHED, "<think>\n", id="always begun, shown when finished"),
        ],
    )
    def test_the_empty_block_belongs_to_the_prompt(
        self, folder: Path, finished: str, opened: str
    ) -> None:
        rendered = renderer(folder, thinking_template(finished, opened))
        prompt, labels = rendered.prompt_and_answer(QUESTION, "48人")
        decode = rendered._tokenizer.decode
        assert decode(prompt) == f"<|user|>定員は？<|end|>\n<|assistant|>{EMPTY}"
        assert decode(labels) == "48人<|end|>"
        assert rendered.prompt(QUESTION) == prompt

    def test_templates_without_thinking_stay_as_they_are(self, folder: Path) -> None:
        rendered = renderer(folder, CHAT_TEMPLATE)
        prompt, _ = rendered.prompt_and_answer(QUESTION, "48人")
        assert rendered._tokenizer.decode(prompt).endswith("<|assistant|>")

    def test_what_the_model_thinks_is_left_out_before_stops_are_looked_for(
        self, folder: Path
    ) -> None:
        rendered = renderer(folder, CHAT_TEMPLATE)
        reply = spoken(
            rendered, "<think>\nまず考える。\n</think>\n\n48人。次", stop=("\n\n次", "。")
        )
        assert reply.text == "48人"
        assert spoken(rendered, "<think>\nまず", stop=("\n",)).text == ""


class TestLines:
    @pytest.mark.parametrize("text", ["48人\n質問：", "\n\n48人\n", " \n48人\n\n1\n", "48人"])
    def test_a_model_without_a_chat_template_answers_in_one_line(
        self, folder: Path, text: str
    ) -> None:
        reply = spoken(renderer(folder), text)
        assert (reply.text, reply.finish_reason) == ("48人", "stop")
        assert reply.completion_tokens <= len(text.encode()) + 1

    def test_a_stop_string_before_the_line_break_goes_first(self, folder: Path) -> None:
        assert spoken(renderer(folder), "48人、大人\n", stop=("、",)).text == "48人"

    def test_a_chat_model_ends_its_answer_itself(self, folder: Path) -> None:
        text = "The answer is:\n48\n\n- 人"
        assert spoken(renderer(folder, CHAT_TEMPLATE), text).text == text


class TestAPlainText:
    @pytest.mark.parametrize("template", ["", CHAT_TEMPLATE, thinking_template("", "<think>\n")])
    def test_it_reaches_the_model_as_it_stands(self, folder: Path, template: str) -> None:
        of = prepare_published("jcommonsenseqa", count=1)
        request = of.asking.completion(of.items[0])
        found = renderer(folder, template)
        rendered = found.rendered(request.messages, request.plain)
        assert list(rendered.tokens) == found.prompt(request.messages, request.plain)
        assert rendered.text == "<bos>" + of.asking.completion_text(of.items[0])
        assert rendered.text.endswith("### 応答:\n")
        assert not prompt_faults(rendered.tokens, rendered.bos, rendered.special, rendered.adds_bos)

    @pytest.mark.parametrize("template", ["", CHAT_TEMPLATE])
    def test_what_follows_it_ends_at_its_stop_and_not_at_a_line_break(
        self, folder: Path, template: str
    ) -> None:
        text = "一行目\n二行目\n\n### 入力:"
        found = renderer(folder, template)
        assert spoken(found, text, plain=True, stop=("\n\n",)).text == "一行目\n二行目"
        # As published, an answer that begins with a blank line is empty.
        assert spoken(found, "\n\n京都", plain=True, stop=("\n\n",)).text == ""


def spoken(rendered: Renderer, text: str, plain: bool = False, **sampling: Any) -> Reply:
    """The reply of a network that says ``text``."""
    tokens = [*rendered._encode(text, special=False), rendered._tokenizer.eos_token_id]
    answerer = Answerer(lambda: Voice(tokens), rendered, 4, 10_000)
    asked = Sampling(max_tokens=200, **sampling)
    request = Request((Message("user", "定員は？"),), asked, plain=plain)
    (reply,) = answerer.generate([request])
    return reply


class Voice:
    """Stands for a network: its likeliest tokens are those given, one after the other."""

    def __init__(self, tokens: list[int]) -> None:
        self.left, self.device = iter(tokens), torch.device("cpu")
        self.config = LlamaConfig(num_hidden_layers=1, max_position_embeddings=1_000)
        self.generation_config = SimpleNamespace(eos_token_id=None)

    def eval(self) -> "Voice":
        return self

    def __call__(self, **inputs: Any) -> Any:
        logits = torch.zeros(1, 1, 300)
        logits[0, 0, next(self.left, 0)] = 1.0
        return SimpleNamespace(logits=logits)


class TestARenderedPrompt:
    @pytest.mark.parametrize("template", ["", CHAT_TEMPLATE])
    def test_it_has_the_tokens_that_the_model_is_asked_with(
        self, folder: Path, template: str
    ) -> None:
        found = renderer(folder, template)
        rendered = found.rendered(QUESTION)
        assert list(rendered.tokens) == found.prompt(QUESTION)
        assert rendered.text.count("<bos>") == rendered.tokens.count(rendered.bos or 0) == 1
        assert rendered.has_chat_template is bool(template)
        assert rendered.adds_bos
        frame = PLAIN_TEMPLATE.replace("{question}", "定員は？")
        end = "<|end|>\n<|assistant|>"
        assert rendered.text == (f"<bos><|user|>定員は？{end}" if template else f"<bos>{frame}")
        assert (rendered.bos in rendered.special) and len(rendered.special) == 1 + bool(template)

    def test_a_template_that_forgets_or_doubles_the_first_token_is_seen(self, folder: Path) -> None:
        forgets = CHAT_TEMPLATE.replace("{{ bos_token }}", "")
        doubles = "{{ bos_token }}" + CHAT_TEMPLATE
        faults = [
            prompt_faults(one.tokens, one.bos, one.special, one.adds_bos)
            for one in (renderer(folder, t).rendered(QUESTION) for t in (forgets, doubles, ""))
        ]
        assert faults == [["missing_bos"], ["doubled_bos"], []]
