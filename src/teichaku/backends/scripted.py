"""Deterministic models for tests and for dry runs of a recipe: no network, no weights.

:class:`ScriptedModel` answers by a function. :func:`scripted_teacher` writes simple but true
examples from the passage that a request is about, and holds answers against their reference.
:class:`ScriptedStudent` learns an example once it has been shown often enough. They speak
every prompt of the built-in recipes, so a recipe runs from end to end in seconds.
"""

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from teichaku.backends import (
    scripted_benchmarks,
    scripted_documents,
    scripted_facts,
    scripted_instructions,
    scripted_judges,
)
from teichaku.backends.scripted_documents import stated
from teichaku.core.models import AdapterSettings, ChatModel, OptimizerSettings, RenderedPrompt
from teichaku.core.records import (
    TOKENS_WITH_LOG_PROBABILITIES,
    Example,
    Message,
    Passage,
    Question,
    Reply,
    Request,
    TokenizedExample,
    content_id,
)
from teichaku.core.run_folder import write_aside
from teichaku.core.text import sentences

Script = Callable[[Request], str]
Tokens = Sequence[Mapping[str, float]]

#: How sure the scripted model is of a digit that it writes; the rest goes to its neighbours.
_SURE = 0.7


def spelled(text: str) -> Tokens:
    """``text`` as tokens of one character with log-probabilities: sure of all but digits."""
    return [_spelled(character) for character in text]


def _spelled(character: str) -> Mapping[str, float]:
    if not (character.isascii() and character.isdigit()):
        return {character: 0.0}
    beside = [str(n) for n in (int(character) - 1, int(character) + 1) if 0 <= n <= 9]
    rest = math.log((1 - _SURE) / len(beside))
    return {character: math.log(_SURE), **dict.fromkeys(beside, rest)}


class ScriptedModel:
    """A chat model whose replies are ``script(request)``.

    ``sent`` counts the requests by :func:`request_name`, to prove that nothing is sent twice.
    ``seconds`` makes every reply take that long. ``tokens`` gives the tokens of a reply with
    their log-probabilities, for requests that ask for them.
    """

    def __init__(
        self,
        script: Script,
        name: str = "scripted",
        seconds: float = 0.0,
        tokens: Callable[[str], Tokens] = spelled,
    ) -> None:
        self.identity = f"scripted:{name}"
        self.sent: Counter[str] = Counter()
        self._script = script
        self._seconds = seconds
        self._tokens = tokens

    def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        """The script's reply to each request; ``ScriptedError`` becomes a failed reply."""
        for request in requests:
            if request is None:
                # A reply is handed on at once, so none is on its way.
                return
            self.sent[request_name(request)] += 1
            time.sleep(self._seconds)
            try:
                text = self._script(request)
            except ScriptedError as failure:
                yield Reply(request, "", error=str(failure), final=failure.final)
                continue
            asked = sum(len(message.content) for message in request.messages)
            known: Tokens = self._tokens(text) if request.top_log_probabilities else ()
            first = tuple(known[:TOKENS_WITH_LOG_PROBABILITIES])
            yield Reply(request, text, "stop", asked, len(text), log_probabilities=first)


class ScriptedError(Exception):
    """Raised by a script: this request fails for good; ``final`` as in ``Reply``."""

    def __init__(self, said: str, final: bool = False) -> None:
        super().__init__(said)
        self.final = final


def request_name(request: Request) -> str:
    """A name for what a request asks, the same for equal requests."""
    asked = "\n".join(message.content for message in request.messages)
    return content_id(asked, request.sample_index, request.sampling.seed)


def scripted_teacher(request: Request) -> str:
    """The reply of a plain but truthful teacher, by the prompt that it is asked with."""
    name = request.prompt.partition("/")[2].partition("@")[0]
    further = {**scripted_documents.REPLIES, **scripted_facts.REPLIES}
    further.update({**scripted_instructions.REPLIES, **scripted_judges.REPLIES})
    further.update(scripted_benchmarks.REPLIES)
    if name in further:
        return further[name](request)
    if name.startswith("fastchat:"):
        return scripted_judges.by_file(request)
    return json.dumps(_TEACHER[name](request), ensure_ascii=False)


def _document_qa(request: Request) -> dict[str, Any]:
    count = (request.schema or {})["properties"]["pairs"]["maxItems"]
    pairs = [{"question": q, "answer": a} for q, a in stated(request.subject.unit)[:count]]
    return {"pairs": pairs}


def _category_qa(request: Request) -> dict[str, Any]:
    names = (request.schema or {})["properties"]["category"]["enum"]
    unit: Passage = request.subject.unit
    facts = stated(unit)
    drawn = int(content_id(unit.id, request.sample_index), 16)
    question, answer = facts[drawn % len(facts)]
    return {"category": names[drawn % len(names)], "question": question, "answer": answer}


def _held_out_wording(request: Request) -> dict[str, Any]:
    question: Question = request.subject
    subject, _, rest = question.question.rstrip("？").rpartition("の")
    kept = rest.removesuffix("は")
    return {"question": f"教えてほしい。{subject}について、「{kept}」に当たるものは何か。"}


def _grounded_judge(request: Request) -> dict[str, Any]:
    example: Example = request.subject
    return {"explanation": "採点せず", "supported": bool(example.answer)}


def _judge_screen(request: Request) -> dict[str, Any]:
    """Mostly good scores, now and then a poor one, by the example."""
    score = (5, 4, 4, 5, 2, 4, 3, 5)[int(content_id(request.subject.id), 16) % 8]
    return {"score": score, "reason": "点数は例の番号で決めた。"}


def _faithful_judge(request: Request) -> dict[str, Any]:
    """Objects to the first sentence of every fourth example."""
    example: Example = request.subject
    first = next(sentences(example.answer), example.answer).strip()
    objection = {"sentence": first, "explanation": "文書に見当たらない。"}
    objects = int(content_id(example.id), 16) % 4 == 0
    return {"contradictions": [], "additions": [objection] if objects else []}


_TEACHER: dict[str, Callable[[Request], dict[str, Any]]] = {
    "document_qa": _document_qa,
    "category_qa": _category_qa,
    "held_out_wording": _held_out_wording,
    "grounded_judge": _grounded_judge,
    "judge_screen": _judge_screen,
    "faithful_judge": _faithful_judge,
}


class ScriptedStudent:
    """A student that answers a question once it has seen its example ``exposures`` times.

    Open book it gives the last line of the passage, and of choices it names the one that is most
    like the question. It keeps its knowledge in a JSON file as
    the adapter, so training, checkpoints, resuming and evaluation run as with real weights.
    """

    def __init__(self, name: str = "scripted", exposures: int = 2, seconds: float = 0.0) -> None:
        self.name = name
        self.identity = f"scripted-student:{name}"
        self._exposures = exposures
        self._seconds = seconds

    def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        """Answers without any training."""
        return self._model({}, "").generate(requests)

    def encode(
        self, example_id: str, messages: Sequence[Message], answer: str, max_tokens: int
    ) -> TokenizedExample:
        """One token a character."""
        asked = messages[-1].content if messages else ""
        prompt = [ord(character) for character in asked]
        tokens = [*prompt, *(ord(character) for character in answer)]
        kept = tuple(tokens[:max_tokens])
        return TokenizedExample(
            example_id, kept, min(len(prompt), len(kept)), len(tokens) - len(kept)
        )

    def rendered(self, messages: Sequence[Message], plain: bool = False) -> RenderedPrompt:
        """The last message, one token a character: it reads nothing else of a chat."""
        text = messages[-1].content
        tokens = tuple(ord(character) for character in text)
        return RenderedPrompt(text, tokens, has_chat_template=True)

    def trainer(self, adapter: AdapterSettings, optimizer: OptimizerSettings) -> "ScriptedTrainer":
        """Begin with nothing learnt."""
        return ScriptedTrainer(self, self._seconds)

    def with_adapter(self, folder: Path) -> ChatModel:
        """The student with what a trainer saved."""
        known = json.loads((folder / "adapter.json").read_text(encoding="utf-8"))
        return self._model(known, content_id(json.dumps(known, sort_keys=True)))

    def knowing(self, known: Mapping[str, Any]) -> ChatModel:
        """The student with knowledge that is still in memory."""
        return self._model(dict(known), content_id(json.dumps(known, sort_keys=True)))

    def _model(self, known: Mapping[str, Any], version: str) -> ScriptedModel:
        def script(request: Request) -> str:
            asked = request.messages[-1].content
            count, answer = known.get(asked, (0, ""))
            if count >= self._exposures:
                return str(answer)
            label = scripted_benchmarks.chosen(asked)
            if label is not None:
                return label
            lines = [line for line in asked.splitlines() if line.strip()]
            return lines[-2] if len(lines) > 2 else "分かりません。"

        return ScriptedModel(script, f"{self.identity}#{version}", self._seconds)


class ScriptedTrainer:
    """Counts how often each example was shown; the loss falls with the count."""

    def __init__(self, student: ScriptedStudent, seconds: float) -> None:
        self._student = student
        self._seconds = seconds
        self._known: dict[str, tuple[int, str]] = {}

    def step(self, batch: Sequence[TokenizedExample], learning_rate: float) -> float:
        """Show every example of ``batch`` once."""
        time.sleep(self._seconds)
        loss = 0.0
        for example in batch:
            characters = [chr(token) for token in example.tokens]
            question = "".join(characters[: example.prompt_length])
            answer = "".join(characters[example.prompt_length :])
            count = self._known.get(question, (0, ""))[0] + 1
            self._known[question] = (count, answer)
            loss += 1 / (1 + count)
        return loss / len(batch)

    def save(self, folder: Path) -> None:
        """The counts so far."""
        self.save_adapter(folder)

    def restore(self, folder: Path) -> None:
        """Go on from :meth:`save`."""
        loaded = json.loads((folder / "adapter.json").read_text(encoding="utf-8"))
        self._known = {question: (count, answer) for question, (count, answer) in loaded.items()}

    def save_adapter(self, folder: Path) -> None:
        """What is known, as JSON."""
        content = json.dumps(self._known, ensure_ascii=False, sort_keys=True)
        write_aside(folder / "adapter.json", content.encode("utf-8"))

    def chat_model(self) -> ChatModel:
        """The student as it is now."""
        return self._student.knowing(self._known)
