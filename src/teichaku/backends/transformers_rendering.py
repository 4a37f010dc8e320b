"""From messages to tokens, in the form that the student knows."""

from collections.abc import Sequence
from typing import Any

from teichaku.core.errors import UserError
from teichaku.core.records import Message

_QUESTION = "{question}"


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
    when the model is asked.
    """

    def __init__(self, tokenizer: Any, plain_template: str) -> None:
        self._tokenizer = tokenizer
        self._plain_template = plain_template
        self._special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}

    @property
    def is_chat(self) -> bool:
        """Whether the tokenizer has a chat template."""
        return bool(self._tokenizer.chat_template)

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """The tokens after which the model's answer begins."""
        return self._tokens(self._prompt_text(messages))

    def prompt_and_answer(
        self, messages: Sequence[Message], answer: str
    ) -> tuple[list[int], list[int]]:
        """The prompt's tokens, and the answer's with the token that ends it."""
        before = self._prompt_text(messages)
        prompt = self._tokens(before)
        after = self._answer_text(messages, answer, before)
        whole = self._tokens(before + after)
        # Tokenized apart where a token would reach over the border.
        fits = whole[: len(prompt)] == prompt
        rest = whole[len(prompt) :] if fits else self._encode(after, special=False)
        return prompt, self._ended(rest)

    def end_tokens(self) -> frozenset[int]:
        """The tokens at which an answer is over."""
        ends = {self._tokenizer.eos_token_id}
        if self.is_chat:
            _, answer = self.prompt_and_answer([Message("user", "1")], "1")
            ends.add(answer[-1])
        return frozenset(token for token in ends if token is not None)

    def text(self, tokens: Sequence[int]) -> str:
        """The text of generated ``tokens``, without those that are no text."""
        decoded: str = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return decoded

    def _prompt_text(self, messages: Sequence[Message]) -> str:
        if self.is_chat:
            return self._chat(messages, add_generation_prompt=True)
        question = "\n\n".join(message.content for message in messages)
        return self._plain_template.replace(_QUESTION, question)

    def _answer_text(self, messages: Sequence[Message], answer: str, before: str) -> str:
        if not self.is_chat:
            return answer
        whole = self._chat([*messages, Message("assistant", answer)])
        # Some templates render a finished turn otherwise than an open one.
        return whole.removeprefix(before) if whole.startswith(before) else answer

    def _chat(self, messages: Sequence[Message], add_generation_prompt: bool = False) -> str:
        from jinja2 import TemplateError

        def render(turns: Sequence[Message]) -> str:
            text: str = self._tokenizer.apply_chat_template(
                [{"role": turn.role, "content": turn.content} for turn in turns],
                add_generation_prompt=add_generation_prompt,
                tokenize=False,
            )
            return text

        try:
            return render(messages)
        except TemplateError:
            # Templates without a system role raise their own error for it.
            return render(_system_in_user(messages))

    def _ended(self, answer: list[int]) -> list[int]:
        """``answer`` up to the last token that is no text, which ends the turn."""
        for position in reversed(range(len(answer))):
            if answer[position] in self._special:
                return answer[: position + 1]
        end = self._tokenizer.eos_token_id
        return answer if end is None else [*answer, end]

    def _tokens(self, text: str) -> list[int]:
        """Tokens of a text from its start: a chat template writes the first token itself."""
        tokens = self._encode(text, special=not self.is_chat)
        end = self._tokenizer.eos_token_id
        return tokens[:-1] if not self.is_chat and tokens and tokens[-1] == end else tokens

    def _encode(self, text: str, special: bool) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=special).input_ids)


def _system_in_user(messages: Sequence[Message]) -> list[Message]:
    """``messages`` with the system's words put before those of the first user turn."""
    if len(messages) < 2 or messages[0].role != "system":
        return list(messages)
    system, user, *others = messages
    return [Message(user.role, f"{system.content}\n\n{user.content}"), *others]
