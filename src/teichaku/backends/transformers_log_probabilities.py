"""How likely a model in process finds the tokens of texts, many texts at once.

Texts go through the model together, within a limit of tokens a batch, and what they begin with
in common goes through it once (see ``transformers_shared``). The output head runs on the positions
that are asked for only, a part of the vocabulary at a time, so that the logits of a whole batch
never exist.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch

from teichaku.backends.transformers_head import Head
from teichaku.backends.transformers_prefixes import Node
from teichaku.backends.transformers_shared import shared_states
from teichaku.core.errors import UserError
from teichaku.core.models import ScoredText, TokenScores

#: So many texts are pulled at a time: where there is padding, to be sorted by length.
_PACKED_WINDOW, _PADDED_WINDOW = 32, 512
#: So many logits are held at once: on a processor those that its cache holds (8 MiB), which took
#: a fifth less processor time than 64 MiB for Gemma 3 270M.
_LOGITS_ON_CPU, _LOGITS_ON_GPU = 2**21, 2**28
#: Narrower parts of the vocabulary are slower to multiply.
_FEWEST_COLUMNS = 256
#: Where the model forbids a token by a logit of minus infinity.
_LEAST_LOGIT = -1e4


@dataclass(frozen=True, slots=True)
class Row:
    """A text on its way: the tokens of context and text, of which those from ``first`` on are
    scored; see :class:`TokenScores` for the rest.
    """

    tokens: tuple[int, ...]
    first: int
    start: int
    end: int
    cut: int

    @property
    def scored(self) -> int:
        """How many tokens are scored."""
        return max(0, len(self.tokens) - self.first)


class TransformersLanguageModel:
    """The language model that ``network`` gives, asked before each window because others use the
    same weights in between; ``tokenizer`` gives its tokenizer. Both are called when the first
    text is scored.

    A batch has at most ``batch_tokens`` tokens, and one text at least. What a text gets does
    not depend on its neighbours, up to rounding. ``in_template``: contexts are prompts in the
    model's own template, and a chat template writes itself what every text begins with.
    """

    def __init__(
        self,
        identity: str,
        network: Callable[[], Any],
        tokenizer: Callable[[], Any],
        batch_tokens: int = 4096,
        in_template: bool = False,
    ) -> None:
        self.identity = identity
        self._in_template = in_template
        self._network, self._tokenizer = network, tokenizer
        self._batch_tokens = batch_tokens

    def token_log_probabilities(
        self, texts: Iterable[ScoredText], moments: bool = False
    ) -> Iterator[TokenScores]:
        """See :class:`teichaku.core.models.LanguageModel`; raises ``UserError`` for a model whose
        logits are made in a way that is not known here, or whose tokenizer tells no places.
        """
        waiting = iter(texts)
        tokenizer: Any = None
        scorer: _Scorer | None = None
        # Nothing is loaded for no texts.
        for first in waiting:
            if tokenizer is None:
                tokenizer = _checked(self._tokenizer())
            scorer = self._scorer(scorer)
            window = [first, *islice(waiting, scorer.window - 1)]
            rows = encode(tokenizer, window, scorer.context, self._in_template)
            yield from scorer.score(rows, self._batch_tokens, moments)

    def _scorer(self, last: "_Scorer | None") -> "_Scorer":
        """The model as it is now, made ready; ``last`` where it is the same."""
        model = self._network().eval()
        return last if last is not None and last.model is model else _Scorer(model)


def encode(
    tokenizer: Any, texts: Sequence[ScoredText], limit: int, in_template: bool = False
) -> list[Row]:
    """The tokens of each text, ``limit`` at most. Context and text are tokenized as one."""
    begin = [] if in_template and tokenizer.chat_template else _begin(tokenizer)
    # Half a surrogate pair is no text that a tokenizer takes; a mark of one character is.
    wholes = [(one.context + one.text).encode("utf-8", "replace").decode("utf-8") for one in texts]
    encoded = tokenizer(wholes, add_special_tokens=False, return_offsets_mapping=True)
    places = zip(texts, encoded["input_ids"], encoded["offset_mapping"], strict=True)
    return [_row(begin, one, tokens, spans, limit) for one, tokens, spans in places]


def _row(
    begin: Sequence[int],
    one: ScoredText,
    tokens: Sequence[int],
    spans: Sequence[tuple[int, int]],
    limit: int,
) -> Row:
    """Where the text of ``one`` begins among its ``tokens``, which cover ``spans``."""
    border = len(one.context)
    own = next((at for at, span in enumerate(spans) if span[1] > border or not border), len(spans))
    # Nothing predicts a first token that no other stands before.
    first = max(1, len(begin) + own)
    skipped = first - len(begin) - own
    whole = (*begin, *tokens)
    cut = max(0, len(whole) - limit)
    scored = spans[own + skipped : len(spans) - cut]
    if not scored:
        return Row(whole[:limit], first, 0, 0, cut)
    start = scored[0][0] - border if skipped else 0
    end = max(span[1] for span in scored) - border if cut else len(one.text)
    return Row(whole[:limit], first, start, end, cut)


def _checked(tokenizer: Any) -> Any:
    if not tokenizer.is_fast:
        raise UserError(
            f"{type(tokenizer).__name__} does not tell where its tokens stand in a text.",
            "Choose a language model with a fast tokenizer (tokenizer.json).",
        )
    return tokenizer


def _begin(tokenizer: Any) -> list[int]:
    """The token that the tokenizer begins every text with, where it does."""
    tokens = list(tokenizer("").input_ids)[:1]
    return tokens if tokens == [tokenizer.bos_token_id] else []


class _Scorer:
    """A model made ready. ``context`` is how many tokens it reads, ``window`` how many texts are
    worth looking at together.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        config = model.config.get_text_config()
        self.context = int(getattr(config, "max_position_embeddings", 2**31))
        self._head = Head(model)
        self._states = shared_states(model)
        self.window = _PACKED_WINDOW if self._states.is_packed else _PADDED_WINDOW
        self._at_once = _LOGITS_ON_CPU if model.device.type == "cpu" else _LOGITS_ON_GPU

    @torch.no_grad()
    def score(self, rows: Sequence[Row], limit: int, moments: bool) -> list[TokenScores]:
        """The results of a window of texts, with ``limit`` tokens a batch."""
        values = [np.zeros((3 if moments else 1, row.scored), np.float32) for row in rows]
        places = [at for at, row in enumerate(rows) if row.scored]
        if places:
            # Nothing is asked of the last token.
            inputs = [rows[at].tokens[:-1] for at in places]
            asked = [rows[at].first - 1 for at in places]
            for nodes, hidden in self._states.run(inputs, asked, limit):
                self._fill(values, rows, places, nodes, hidden, moments)
        results = []
        for row, found in zip(rows, values, strict=True):
            means, deviations = (found[1], found[2]) if moments else (None, None)
            results.append(TokenScores(found[0], means, deviations, row.cut, row.start, row.end))
        return results

    def _fill(
        self,
        values: Sequence[np.ndarray],
        rows: Sequence[Row],
        places: Sequence[int],
        nodes: Sequence[Node],
        hidden: torch.Tensor,
        moments: bool,
    ) -> None:
        """Put what ``nodes``, with the ``hidden`` states of their tokens, tell of the rows that
        go through them into ``values``.
        """
        positions: list[int] = []
        targets: list[int] = []
        parts: list[np.ndarray] = []
        start = 0
        for node in nodes:
            for row, found in ((rows[places[at]], values[places[at]]) for at in node.rows):
                first = max(node.start, row.first - 1)
                own = range(first, max(first, node.end))
                positions += range(start + own.start - node.start, start + own.stop - node.start)
                targets += row.tokens[own.start + 1 : own.stop + 1]
                parts.append(found[:, own.start - row.first + 1 : own.stop - row.first + 1])
            start += node.length
        if not positions:
            return
        # Choices after one context are told apart by one row of logits.
        unique, of = np.unique(positions, return_inverse=True)
        device = hidden.device
        asked = hidden.index_select(0, torch.from_numpy(unique).to(device))
        told = self._log_probabilities(
            asked, torch.from_numpy(of).to(device), torch.tensor(targets, device=device), moments
        )
        read = told.cpu().numpy()
        at = 0
        for part in parts:
            part[:] = read[:, at : (at := at + part.shape[1])]

    def _log_probabilities(
        self, hidden: torch.Tensor, of: torch.Tensor, targets: torch.Tensor, moments: bool
    ) -> torch.Tensor:
        """The log-probability of each target at the row ``of`` the hidden states and, where asked
        for, mean and standard deviation over the vocabulary, a row each. The sums are kept
        relative to the highest logit so far, so that one pass over the parts of the vocabulary
        is enough.
        """
        rows, device = len(hidden), hidden.device
        highest = torch.full((rows,), -torch.inf, device=device)
        picked = torch.zeros(len(targets), device=device)
        total, first, second = torch.zeros(3, rows, device=device)
        width = max(_FEWEST_COLUMNS, self._at_once // rows)
        for start in range(0, self._head.vocabulary, width):
            logits = self._head.logits(hidden, slice(start, start + width))
            place = targets - start
            inside = (place >= 0) & (place < logits.shape[1])
            own = logits[of, place.clamp(0, logits.shape[1] - 1)]
            picked = torch.where(inside, own, picked)
            higher = torch.maximum(highest, logits.amax(1))
            # Nothing is to be moved before the first part.
            fall = torch.where(highest.isinf(), 0.0, highest - higher)
            scale, highest = fall.exp(), higher
            logits.sub_(highest[:, None])
            if moments:
                logits.clamp_(min=_LEAST_LOGIT)
                second = (second + 2 * fall * first + fall.square() * total) * scale
                first = (first + fall * total) * scale
                weights = logits.exp()
                total = total * scale + weights.sum(1)
                first += weights.mul_(logits).sum(1)
                second += weights.mul_(logits).sum(1)
            else:
                total = total * scale + logits.exp_().sum(1)
        found: torch.Tensor = picked - (highest + total.log())[of]
        if not moments:
            return found[None]
        mean = first / total
        variance = (second / total - mean.square()).clamp(min=0.0)
        return torch.stack([found, (mean - total.log())[of], variance.sqrt()[of]])
