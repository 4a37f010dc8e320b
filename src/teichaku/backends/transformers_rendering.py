"""From messages to tokens, in the form that the student knows."""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from teichaku.core.errors import UserError
from teichaku.core.models import RenderedPrompt
from teichaku.core.records import Message
from teichaku.core.replies import without_thinking

_QUESTION = "{question}"
_NO_THOUGHT = "<think>\n\n</think>\n\n"
_THOUGHT_AT_END = re.compile(r"<think>\s*(?:</think>\s*)?\Z")
_EMPTY_THOUGHT = re.compile(r"\A\s*<think>\s*</think>\s*")


def check_plain_template(template: str) -> None:
    """Raise ``UserError`` where ``template`` has no place for the question."""
    if _QUESTION not in template:
        raise UserError(
            f"The student's plain template {template!r} has no place for the question.",
            f"Write {_QUESTION} where the question goes.",
        )


class Renderer:
    """Renders with the tokenizer's chat template; models without one (base models) get
    ``plain_template``, in which ``{question}`` stands for all messages, joined by blank lines.

    Prompt and answer are tokenized so that the prompt has the same tokens in training as
    when the model is asked. Students do not think aloud: where the template knows thinking,
    the prompt ends with an empty block of it.
    """

    def __init__(self, tokenizer: Any, plain_template: str) -> None:
        self._tokenizer = tokenizer
        self._plain_template = plain_template
        added = tokenizer.added_tokens_decoder.items()
        # Gemma adds thousands of tokens that are text: line breaks, HTML tags.
        special = (number for number, token in added if token.special)
        self._special = {*tokenizer.all_special_ids, *special}
        self._line_breaks: dict[int, bool] = {}

    @property
    def is_chat(self) -> bool:
        """Whether the tokenizer has a chat template."""
        return bool(self._tokenizer.chat_template)

    def prompt(self, messages: Sequence[Message], plain: bool = False) -> list[int]:
        """The tokens after which the model's answer begins; ``plain``: those of the text alone."""
        if plain:
            text = "\n\n".join(message.content for message in messages)
            return self._opened(self._encode(text, special=True))
        return self._tokens(self.context(messages))

    def context(self, messages: Sequence[Message]) -> str:
        """The text after which the model's answer begins. A chat template writes the token that
        every text begins with, and a plain one does not.
        """
        if self.is_chat:
            before = self._chat(messages, add_generation_prompt=True)
            return _THOUGHT_AT_END.sub("", before) + self._thought
        question = "\n\n".join(message.content for message in messages)
        return self._plain_template.replace(_QUESTION, question)

    def rendered(self, messages: Sequence[Message], plain: bool = False) -> RenderedPrompt:
        """:meth:`prompt` as people can read it: the text is that of the tokens, so that what the
        tokenizer puts before or leaves out is seen.
        """
        tokens, bos = self.prompt(messages, plain), self._tokenizer.bos_token_id
        return RenderedPrompt(
            self._tokenizer.decode(
                tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False
            ),
            tuple(tokens),
            bos,
            frozenset(tokens) & self._special,
            bos is not None and self._encode("1", special=True)[:1] == [bos],
            self.is_chat,
        )

    def prompt_and_answer(
        self, messages: Sequence[Message], answer: str
    ) -> tuple[list[int], list[int]]:
        """The prompt's tokens, and the answer's with the token that ends it.

        Without ``messages`` the answer is running text: no template, and the prompt is its first
        token, the one that every text begins with where the tokenizer knows one.
        """
        if not messages:
            return self._running_text(answer)
        before = self.context(messages)
        prompt = self._tokens(before)
        after = self._answer_text(messages, answer, before)
        whole = self._tokens(before + after)
        # Tokenized apart where a token would reach over the border.
        fits = whole[: len(prompt)] == prompt
        rest = whole[len(prompt) :] if fits else self._encode(after, special=False)
        shown = answer.strip()
        tail = after.split(shown, 1)[-1] if shown else after
        return prompt, self._ended(rest, tail)

    def _running_text(self, text: str) -> tuple[list[int], list[int]]:
        tokens, end = self._encode(text, special=True), self._tokenizer.eos_token_id
        if end is not None and tokens[-1:] != [end]:
            tokens.append(end)
        return tokens[:1], tokens[1:]

    def end_tokens(self) -> frozenset[int]:
        """The tokens at which an answer is over."""
        _, answer = self.prompt_and_answer([Message("user", "1")], "1")
        return frozenset({answer[-1], self._tokenizer.eos_token_id} & self._special)

    def ends_line(self, token: int) -> bool:
        """Whether an answer may be over with ``token`` because it breaks the line: models
        without a chat template go on after their answer with something else.
        """
        if self.is_chat:
            return False
        if token not in self._line_breaks:
            self._line_breaks[token] = "\n" in self.text([token])
        return self._line_breaks[token]

    @cached_property
    def next_question(self) -> str:
        """The line break and the heading with which a model without a chat template begins a
        question of its own: what stands before the question in the plain template, on its last
        line that is not blank. Empty where there is none, and for models with a chat template.
        """
        before = self._plain_template.partition(_QUESTION)[0].rstrip()
        heading = before.rpartition("\n")[2].strip()
        return f"\n{heading}" if heading and not self.is_chat else ""

    def text(self, tokens: Sequence[int]) -> str:
        """The text of generated ``tokens``, without those that are no text and without what
        the model thinks.
        """
        return without_thinking(self._tokenizer.decode(tokens, skip_special_tokens=True))

    def are_no_text(self, tokens: Sequence[int]) -> bool:
        """Whether generated ``tokens`` are no text, not even a thought."""
        return not self._tokenizer.decode(tokens, skip_special_tokens=True)

    @cached_property
    def _thought(self) -> str:
        """The empty thinking block before an answer; empty where the template knows none."""
        turn = [Message("user", "1")]
        before = self._chat(turn, add_generation_prompt=True)
        bare = _THOUGHT_AT_END.sub("", before)
        answered = self._chat([*turn, Message("assistant", "1")]).removeprefix(bare)
        if found := _EMPTY_THOUGHT.match(answered):
            return found.group()
        return _NO_THOUGHT if bare != before else ""

    def _answer_text(self, messages: Sequence[Message], answer: str, before: str) -> str:
        if not self.is_chat:
            return answer
        whole = self._chat([*messages, Message("assistant", answer)])
        bare = before.removesuffix(self._thought)
        # Some templates render a finished turn otherwise than an open one.
        return _EMPTY_THOUGHT.sub("", whole[len(bare) :]) if whole.startswith(bare) else answer

    def _chat(self, messages: Sequence[Message], add_generation_prompt: bool = False) -> str:
        from jinja2 import TemplateError

        def render(turns: Sequence[Message]) -> str:
            text: str = self._tokenizer.apply_chat_template(
                [{"role": turn.role, "content": turn.content} for turn in turns],
                add_generation_prompt=add_generation_prompt,
                tokenize=False,
                enable_thinking=False,
            )
            return text

        try:
            return render(messages)
        except TemplateError:
            # Templates without a system role raise their own error for it.
            return render(_system_in_user(messages))

    def _ended(self, answer: list[int], tail: str) -> list[int]:
        """``answer`` up to the first special token of ``tail``, what the template put after it."""
        after = self._encode(tail, special=False)
        for position, token in enumerate(after, len(answer) - len(after)):
            if token in self._special:
                return answer[: position + 1]
        end = self._tokenizer.eos_token_id
        return answer if end is None else [*answer, end]

    def _tokens(self, text: str) -> list[int]:
        """Tokens of a text from its start: a chat template writes the first token itself."""
        if self.is_chat:
            return self._encode(text, special=False)
        return self._opened(self._encode(text, special=True))

    def _opened(self, tokens: list[int]) -> list[int]:
        """``tokens`` without the end that some tokenizers put there."""
        return tokens[:-1] if tokens and tokens[-1] == self._tokenizer.eos_token_id else tokens

    def _encode(self, text: str, special: bool) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=special).input_ids)


def _system_in_user(messages: Sequence[Message]) -> list[Message]:
    """``messages`` with the system's words put before those of the first user turn."""
    if len(messages) < 2 or messages[0].role != "system":
        return list(messages)
    system, user, *others = messages
    return [Message(user.role, f"{system.content}\n\n{user.content}"), *others]
