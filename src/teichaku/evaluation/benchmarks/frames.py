"""What a model is shown: the published frames as plain completions, and turns of a chat.

A frame is text with places for the instruction, the examples and the input; what stands in a text
of the user's never counts as a place.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from teichaku.core.errors import UserError
from teichaku.core.models import ScoredText, TokenScores
from teichaku.core.records import Message, Reply, Request, Sampling, content_id
from teichaku.evaluation.benchmarks.catalogue import specification
from teichaku.evaluation.benchmarks.data_file import Sample
from teichaku.evaluation.benchmarks.rows import Item

_PLACE = re.compile(r"\{(instruction|few_shots|input|output)\}")
_TEMPLATES = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)

#: The answer ends at the first blank line (the pattern of version 2.1.5 for base models).
_UP_TO_A_BLANK_LINE = re.compile(r"(?s)^(.*?)(?=\n\n|\Z)")

_ONLY_THE_ANSWER = "回答以外には何も含めないことを厳守してください。"


@dataclass(frozen=True)
class Frame:
    """A published frame by its version. ``is_exact`` where its text was read from the source;
    ``note`` says what is known of the others.
    """

    version: str
    whole: str
    each_shot: str
    is_exact: bool = True
    note: str = ""

    def text(self, instruction: str, shots: Iterable[Sample], text: str) -> str:
        """The prompt, up to where the answer begins."""
        shown = "".join(
            _filled(self.each_shot, {"input": shot.input, "output": shot.output}) for shot in shots
        )
        values = {"instruction": instruction, "few_shots": shown, "input": text}
        return _filled(self.whole, values)


def frame(version: str = "1.3") -> Frame:
    """The frame of llm-jp-eval ``version``: 1.3, read from its source, or 2.1.5, second hand.

    Raises ``UserError`` for others.
    """
    read = specification()
    whole, shot = read["prompt_default"], read["few_shot_each"]
    if version in ("1.3", "1.3.0", "1.3.1"):
        return Frame("1.3", whole, shot)
    if version == "2.1.5":
        strict = whole.replace("{instruction}", "{instruction}\n" + _ONLY_THE_ANSWER)
        note = "the place of its last sentence is not known from the source"
        return Frame(version, strict, shot, is_exact=False, note=note)
    raise UserError(f"The frame of llm-jp-eval {version} is not known.", "Known: 1.3, 2.1.5.")


def custom_text(template: str, instruction: str, shots: Sequence[Sample], text: str) -> str:
    """A prompt by a data set's own ``custom_prompt_template``: Jinja2 (``instruction``,
    ``few_shots``, ``input``) or places in single braces. Raises ``UserError`` where it cannot be
    rendered.
    """
    if "{{" not in template and "{%" not in template:
        return Frame("custom", template, "{input}{output}").text(instruction, shots, text)
    try:
        rendered: str = _TEMPLATES.from_string(template).render(
            instruction=instruction,
            few_shots=[{"input": shot.input, "output": shot.output} for shot in shots],
            input=text,
        )
    except TemplateError as error:
        raise UserError(
            f"custom_prompt_template cannot be rendered: {error}",
            "It may use instruction, few_shots and input.",
        ) from error
    return rendered


def published_answer(reply: str, pattern: str = "") -> str:
    """llm-jp-eval's post-processing: up to the first blank line, stripped, NFKC. A reply that
    begins with a blank line is empty. ``pattern`` is a data set's ``answer_extract_pattern``,
    whose first group is the answer; a reply that it does not match is empty.
    """
    if pattern:
        found = re.search(pattern, reply)
        kept = (found.group(1) or "") if found else ""
    else:
        found = _UP_TO_A_BLANK_LINE.match(reply)
        kept = found.group(1) if found else ""
    return unicodedata.normalize("NFKC", kept.strip())


@dataclass(frozen=True)
class Asking:
    """How the items of a set are put to a model.

    ``name`` and ``version`` tell what was asked, and stand in :attr:`Request.prompt`.
    ``temperatures`` are by category; 0 elsewhere. ``stop`` ends what follows the plain frame: a
    model without a chat template goes on with an example of its own. ``several_lines`` is for free
    text, which no line break ends (see :class:`Request`).
    """

    name: str
    instruction: str
    shots: tuple[Sample, ...]
    max_tokens: int
    frame: Frame
    temperatures: Mapping[str, float] | None = None
    template: str = ""
    seed: int = 0
    stop: tuple[str, ...] = ()
    several_lines: bool = False

    def completion(self, item: Item, plain: bool = True) -> Request:
        """The item in the plain frame, as one text that the answer follows.

        It is one message of the user. Only where it is ``plain`` is the prompt the published one:
        else the backend puts its template around it.
        """
        message = Message("user", self.completion_text(item))
        prompt = f"benchmark/{self.name}@{self.frame.version}"
        request = self._request(item, (message,), prompt)
        return replace(request, plain=plain, sampling=replace(request.sampling, stop=self.stop))

    def completion_text(self, item: Item) -> str:
        """The text of :meth:`completion`."""
        asked = item.question.question
        if self.template:
            return custom_text(self.template, self.instruction, self.shots, asked)
        return self.frame.text(self.instruction, self.shots, asked)

    def chat(self, item: Item) -> Request:
        """The item as a chat: the instruction before it all, the examples as turns."""
        shown = [
            message
            for shot in self.shots
            for message in (Message("user", shot.input), Message("assistant", shot.output))
        ]
        messages = [*shown, Message("user", item.question.question)]
        if self.instruction:
            messages.insert(0, Message("system", self.instruction))
        request = self._request(item, tuple(messages), f"benchmark/{self.name}@chat-1")
        return replace(request, several_lines=self.several_lines)

    def following(self, reply: Reply, item: Item) -> Request:
        """The next turn ``item`` of a conversation, after the ``reply`` to the one before it."""
        earlier = (*reply.request.messages, Message("assistant", reply.text))
        messages = (*earlier, Message("user", item.question.question))
        request = self._request(item, messages, reply.request.prompt)
        return replace(request, several_lines=self.several_lines)

    def choices(self, item: Item, by_text: bool = False) -> list[ScoredText]:
        """What may be answered, each after the plain frame, for a model that gives
        probabilities: the labels, or (``by_text``) the texts of the choices.

        The choices of an item follow one another and share their context. Raises ``ValueError``
        where the item has none.
        """
        texts = item.choices if by_text else item.labels
        if not texts:
            raise ValueError(f"{item.question.benchmark} has no choices")
        context = self.completion_text(item)
        return [ScoredText(text, context) for text in texts]

    def _request(self, item: Item, messages: tuple[Message, ...], prompt: str) -> Request:
        temperature = (self.temperatures or {}).get(item.question.category, 0.0)
        drawn = int(content_id(self.seed, item.question.id), 16) % 2**31
        sampling = Sampling(
            temperature, max_tokens=self.max_tokens, seed=drawn if temperature else 0
        )
        return Request(messages, sampling, prompt=prompt, subject=item)


def likeliest(
    item: Item, scores: Sequence[TokenScores], by_text: bool = False, by_length: bool = False
) -> str | None:
    """The label that the model finds likeliest, from the scores of :meth:`Asking.choices`; the
    first of equals. Null where one of them failed or was cut.

    ``by_length`` divides by the number of characters (lm-eval's ``acc_norm`` divides by bytes),
    which texts of choices need and labels do not.
    """
    texts = item.choices if by_text else item.labels
    if len(scores) != len(texts):
        raise ValueError(f"{len(scores)} scores for {len(texts)} choices")
    if any(score.error or score.cut or not len(score.log_probabilities) for score in scores):
        return None
    totals = [
        float(score.log_probabilities.sum()) / (max(1, len(text)) if by_length else 1)
        for score, text in zip(scores, texts, strict=True)
    ]
    return item.labels[totals.index(max(totals))]


def _filled(template: str, values: Mapping[str, str]) -> str:
    """``template`` with its places filled in one pass, so that braces in a value stay."""
    return _PLACE.sub(lambda place: values.get(place.group(1), place.group()), template)
