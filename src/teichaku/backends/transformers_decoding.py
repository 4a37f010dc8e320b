"""Batched generation: many prompts at once, each row leaving the batch when it is done.

What prompts begin with in common is read once (see ``transformers_shared``).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from transformers import DynamicCache

from teichaku.backends.transformers_continued import Continued, held_tokens
from teichaku.backends.transformers_prefixes import common
from teichaku.backends.transformers_rendering import Renderer
from teichaku.backends.transformers_shared import PackedStates, Prefix, shared_states
from teichaku.core.records import Reply, Request, content_id
from teichaku.core.replies import NO_TEXT

#: So many requests are pulled at a time, to be put together with their like.
_WINDOW = 256
#: So many tokens of prompts are read at once on a processor.
_READ_AT_ONCE = 2048


@dataclass(slots=True)
class Row:
    """One request on its way: its prompt, what was generated, and why it ended."""

    request: Request
    prompt: list[int]
    limit: int
    tokens: list[int] = field(default_factory=list)
    text: str = ""
    finish_reason: str = ""


class Answerer:
    """Answers requests in batches of like prompts. ``network`` gives the loaded model, and is
    asked before each batch, because others use the same weights in between.
    """

    def __init__(
        self, network: Callable[[], Any], renderer: Renderer, batch_size: int, batch_tokens: int
    ) -> None:
        self._network, self._renderer = network, renderer
        self._batch_size, self._batch_tokens = batch_size, batch_tokens
        model = network()
        self._end_tokens = renderer.end_tokens() | _end_tokens(model)
        self._context = int(model.config.get_text_config().max_position_embeddings)

    def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        """One reply a request; see :meth:`TransformersStudent.generate`."""
        # A None ends a window early; nothing is on its way where the window is empty.
        waiting = iter(requests)
        decoder: _PackedDecoder | _PaddedDecoder | None = None
        while window := list(islice(iter(lambda: next(waiting, None), None), _WINDOW)):
            rows: list[Row] = []
            for request in window:
                row = self._row(request)
                if isinstance(row, Reply):
                    yield row
                else:
                    rows.append(row)
            decoder = self._decoder(decoder)
            for batch in decoder.batches(rows, self._batch_size, self._batch_tokens):
                decoder = self._decoder(decoder)
                decoder.decode(batch, self._end_tokens, self._renderer)
                yield from map(_reply, batch)

    def _decoder(
        self, last: "_PackedDecoder | _PaddedDecoder | None"
    ) -> "_PackedDecoder | _PaddedDecoder":
        """The model as it is now, made ready; ``last`` where it is the same."""
        model = self._network().eval()
        if last is not None and last.model is model:
            return last
        states = shared_states(model)
        if isinstance(states, PackedStates):
            return _PackedDecoder(states)
        return _PaddedDecoder(model)

    def _row(self, request: Request) -> Row | Reply:
        if request.schema is not None:
            error = "this backend cannot hold a model to a JSON schema"
            return Reply(request, "", error=error, final=True)
        prompt = self._renderer.prompt(request.messages, request.plain)
        room = self._context - len(prompt)
        if room < 1:
            error = f"the prompt has {len(prompt)} tokens, the model reads {self._context}"
            return Reply(request, "", prompt_tokens=len(prompt), error=error, final=True)
        return Row(request, prompt, min(room, request.sampling.max_tokens))


def _end_tokens(model: Any) -> frozenset[int]:
    ends = model.generation_config.eos_token_id
    return frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])


def _reply(row: Row) -> Reply:
    # White space alone stays: it tells a model that wrote nothing from a reply that was cut.
    text = row.text.strip() or row.text
    return Reply(row.request, text, row.finish_reason, len(row.prompt), len(row.tokens))


class _PackedDecoder:
    """Decodes with a packed model: batches are neighbours in the order of their tokens."""

    def __init__(self, states: PackedStates) -> None:
        self.model, self._states = states.model, states

    def batches(self, rows: Sequence[Row], size: int, tokens: int) -> Iterator[list[Row]]:
        """Batches of ``size`` rows and ``tokens`` tokens at most, with what is yet to be
        generated; what all rows of a batch begin with counts once.
        """
        batch: list[Row] = []
        for row in sorted(rows, key=lambda row: row.prompt):
            held = [*batch, row]
            shared = common(batch[0].prompt if batch else row.prompt, row.prompt)
            room = held_tokens([len(one.prompt) + one.limit for one in held], shared)
            if batch and (len(held) > size or room > tokens):
                yield batch
                batch = []
            batch.append(row)
        if batch:
            yield batch

    def decode(self, rows: Sequence[Row], end_tokens: frozenset[int], renderer: Renderer) -> None:
        """Fill ``tokens``, ``text`` and ``finish_reason`` of ``rows``."""
        generators = {id(row): _generator(row.request) for row in rows}
        active = sorted(rows, key=lambda row: -(len(row.prompt) + row.limit))
        with torch.inference_mode():
            # The last token of a prompt is the first that is read as those after it are.
            begun = [tuple(row.prompt[:-1]) for row in active]
            tree, memory = self._states.read(begun, _READ_AT_ONCE)
            most = [len(row.prompt) + row.limit for row in active]
            plan = Continued(tree, memory, [len(row) for row in begun], most)
            tokens = [row.prompt[-1] for row in active]
            while active:
                output = self.model(
                    input_ids=torch.tensor([tokens]),
                    position_ids=torch.tensor([plan.positions]),
                    use_cache=False,
                    plan=plan,
                )
                plan.added()
                chosen = _choose(output.logits[0].float(), active, generators)
                for row, token in zip(active, chosen, strict=True):
                    _take(row, token, end_tokens, renderer)
                going = [index for index, row in enumerate(active) if not row.finish_reason]
                # Rows that are done cost nothing any more.
                plan.keep(going)
                active = [active[index] for index in going]
                tokens = [row.tokens[-1] for row in active]


class _PaddedDecoder:
    """Decodes rectangles that are padded at their left, after the cache of what all rows begin
    with.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._prefix = Prefix(model)

    @staticmethod
    def batches(rows: Sequence[Row], size: int, tokens: int) -> Iterator[list[Row]]:
        """Batches of ``size`` rows and ``tokens`` tokens at most, with what is yet to be
        generated.
        """
        batch: list[Row] = []
        # The longest first: where memory does not suffice, that shows at once.
        for row in sorted(rows, key=lambda row: (-len(row.prompt), -row.limit)):
            widest = max(len(other.prompt) + other.limit for other in (*batch, row))
            if batch and (len(batch) >= size or widest * (len(batch) + 1) > tokens):
                yield batch
                batch = []
            batch.append(row)
        if batch:
            yield batch

    def decode(self, rows: Sequence[Row], end_tokens: frozenset[int], renderer: Renderer) -> None:
        """Fill ``tokens``, ``text`` and ``finish_reason`` of ``rows``."""
        generators = {id(row): _generator(row.request) for row in rows}
        active = list(rows)
        with torch.inference_mode():
            prompts = [tuple(row.prompt) for row in rows]
            start = self._prefix.prepare(prompts, max(map(len, prompts)))
            tokens, mask = _left_padded([prompt[start:] for prompt in prompts], self.model.device)
            positions = start + (mask.cumsum(1) - 1).clamp(min=0)
            mask = torch.cat([mask.new_ones(len(rows), start), mask], dim=1)
            cache = self._prefix.cache(len(rows)) if start else None
            if cache is None:
                cache = DynamicCache(config=self.model.config)
            while active:
                output = self.model(
                    input_ids=tokens,
                    attention_mask=mask,
                    position_ids=positions,
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                )
                chosen = _choose(output.logits[:, -1].float(), active, generators)
                for row, token in zip(active, chosen, strict=True):
                    _take(row, token, end_tokens, renderer)
                going = [index for index, row in enumerate(active) if not row.finish_reason]
                if len(going) < len(active):
                    active = [active[index] for index in going]
                    kept = torch.tensor(going, dtype=torch.long, device=self.model.device)
                    # Rows that are done cost nothing any more.
                    cache.batch_select_indices(kept)
                    mask, positions = mask[kept], positions[kept]
                tokens = torch.tensor([[row.tokens[-1]] for row in active]).to(mask)
                mask = torch.cat([mask, mask.new_ones(len(active), 1)], dim=1)
                positions = positions[:, -1:] + 1


def _left_padded(
    rows: Sequence[tuple[int, ...]], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    length = max(map(len, rows))
    tokens = torch.zeros(len(rows), length, dtype=torch.long)
    mask = torch.zeros_like(tokens)
    for index, row in enumerate(rows):
        tokens[index, length - len(row) :] = torch.tensor(row)
        mask[index, length - len(row) :] = 1
    return tokens.to(device), mask.to(device)


def _take(row: Row, token: int, end_tokens: frozenset[int], renderer: Renderer) -> None:
    row.tokens.append(token)
    if token in end_tokens:
        row.finish_reason = "stop"
    elif (stopped := _stopped_text(row, renderer)) is not None:
        row.text, row.finish_reason = stopped, "stop"
        return
    elif len(row.tokens) >= row.limit:
        row.finish_reason = "length"
    if row.finish_reason:
        row.text = renderer.text(row.tokens)
    if row.finish_reason == "length" and renderer.are_no_text(row.tokens):
        row.text = NO_TEXT


def _stopped_text(row: Row, renderer: Renderer) -> str | None:
    """The text before the first stop string, or before what ends the answer of a model without a
    chat template.
    """
    stops = row.request.sampling.stop
    end = _end(row, renderer)
    if not stops and not end:
        return None
    text = renderer.text(row.tokens)
    found = [text.index(stop) for stop in stops if stop in text]
    # What stands before the first word does not count.
    place = text.find(end, len(text) - len(text.lstrip())) if end else -1
    found += [place] if place >= 0 else []
    return text[: min(found)] if found else None


def _end(row: Row, renderer: Renderer) -> str:
    """What ends the answer if it stands in it behind a word: a line break, or the heading of a
    next question. Empty where the last token cannot have brought it.
    """
    # What follows a plain text is the asker's to read, line breaks and all.
    if row.request.plain:
        return ""
    if not row.request.several_lines:
        return "\n" if renderer.ends_line(row.tokens[-1]) else ""
    heading = renderer.next_question
    # No token is shorter than a byte, so that these many hold the heading if it is at the end.
    last = row.tokens[-len(heading.encode("utf-8")) - 1 :]
    return heading if heading and heading in renderer.text(last) else ""


def _generator(request: Request) -> torch.Generator | None:
    """Null for greedy decoding, at temperature 0. Else every row draws from its own, seeded by its
    messages, ``seed`` and ``sample_index``, so a draw does not depend on the neighbours.
    """
    if request.sampling.temperature <= 0:
        return None
    words = [part for message in request.messages for part in (message.role, message.content)]
    seed = int(content_id(request.sampling.seed, request.sample_index, *words), 16)
    return torch.Generator().manual_seed(seed >> 1)


def _choose(
    logits: torch.Tensor, rows: Sequence[Row], generators: dict[int, torch.Generator | None]
) -> list[int]:
    chosen: list[int] = logits.argmax(1).tolist()
    for index, row in enumerate(rows):
        generator = generators[id(row)]
        if generator is not None:
            sampling = row.request.sampling
            chosen[index] = _draw(logits[index], sampling.temperature, sampling.top_p, generator)
    return chosen


def _draw(
    logits: torch.Tensor, temperature: float, top_p: float, generator: torch.Generator
) -> int:
    """A token from the smallest set that holds ``top_p`` (Holtzman et al. 2020)."""
    probabilities, order = (logits / temperature).softmax(0).sort(descending=True)
    before = probabilities.cumsum(0) - probabilities
    probabilities[before >= top_p] = 0
    # The first stays allowed whatever top_p is.
    reach = probabilities.cumsum(0) if top_p > 0 else torch.ones_like(before)
    at = torch.rand((), generator=generator).to(reach.device) * reach[-1]
    place = int(torch.searchsorted(reach, at, right=True))
    return int(order[min(place, len(order) - 1)])
