"""The output head of a causal language model, run on the positions that matter only."""

from typing import Any

import torch
from torch.nn import functional

from teichaku.core.errors import UserError

#: So many logits are held at once (1 GiB in float32): 1,024 positions with a vocabulary of
#: 262,144.
_LOGITS_AT_ONCE = 2**28


class Head:
    """The frozen output head of ``model``. Raises ``UserError`` for a model whose logits are
    made otherwise than by a linear layer, a scale and soft-capping.
    """

    def __init__(self, model: Any) -> None:
        self._head = model.get_output_embeddings()
        config = model.config.get_text_config()
        self._softcap = float(getattr(config, "final_logit_softcapping", None) or 0.0)
        self._scale = _logit_scale(config)
        self._check(model)

    @property
    def vocabulary(self) -> int:
        """How many tokens there are."""
        return int(self._head.weight.shape[0])

    def logits(self, hidden: torch.Tensor, part: slice = slice(None)) -> torch.Tensor:
        """The logits, in float32, of ``part`` of the vocabulary for every row of ``hidden``."""
        bias = self._head.bias
        weight = self._head.weight[part]
        logits = functional.linear(hidden, weight, None if bias is None else bias[part]).float()
        if self._scale != 1.0:
            logits *= self._scale
        if self._softcap:
            logits = logits.div_(self._softcap).tanh_().mul_(self._softcap)
        return logits

    @torch.no_grad()
    def _check(self, model: Any) -> None:
        """Compare with the model's own logits: an unknown twist of an architecture must not
        pass as training.
        """
        tokens = torch.tensor([[0, 1, 2]], device=model.device)
        own = model(input_ids=tokens, use_cache=False).logits[0].float()
        hidden = model.get_decoder()(input_ids=tokens, use_cache=False).last_hidden_state[0]
        is_linear = isinstance(self._head, torch.nn.Linear)
        if not is_linear or not torch.allclose(own, self.logits(hidden), rtol=2e-2, atol=2e-2):
            raise UserError(
                f"{type(model).__name__} can neither be trained nor scored with: its logits are "
                "no plain linear layer of its last hidden state.",
                "Choose a model of another architecture, such as Llama, Qwen, Gemma, Mistral.",
            )


class HeadLoss(Head):
    """Mean cross-entropy under the head.

    Loss and gradient are worked out together, chunk by chunk, so that the logits of a large
    vocabulary are neither kept nor computed twice.
    """

    @torch.no_grad()
    def __call__(self, hidden: torch.Tensor, targets: torch.Tensor) -> tuple[float, torch.Tensor]:
        """The mean loss of predicting ``targets`` from the rows of ``hidden``, and its
        gradient with respect to ``hidden``.
        """
        at_once = max(1, _LOGITS_AT_ONCE // self.vocabulary)
        gradient = torch.empty_like(hidden)
        loss = torch.zeros((), device=hidden.device)
        for start in range(0, len(hidden), at_once):
            part = slice(start, start + at_once)
            summed, change = self._part(hidden[part], targets[part])
            loss += summed
            gradient[part] = change / len(hidden)
        return float(loss) / len(hidden), gradient

    def _part(
        self, hidden: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The summed loss of some rows and its gradient; works in place, for logits are huge."""
        weight = self._head.weight
        logits = self.logits(hidden)
        highest = logits.amax(1, keepdim=True)
        picked = logits.gather(1, targets[:, None])
        slope = 1 - (logits / self._softcap).square_() if self._softcap else None
        weights = logits.sub_(highest).exp_()
        total = weights.sum(1, keepdim=True)
        loss = (total.log() + highest - picked).sum()
        if slope is None:
            # (softmax - one-hot) @ weight, without a pass over the logits for either.
            expected = (weights.to(weight.dtype) @ weight).float() / total
            return loss, (expected - weight[targets].float()) * self._scale
        weights.div_(total)
        weights[torch.arange(len(targets)), targets] -= 1
        return loss, (weights.mul_(slope).to(weight.dtype) @ weight).float() * self._scale


def _logit_scale(config: Any) -> float:
    """Cohere multiplies its logits, Granite divides them."""
    scale = getattr(config, "logit_scale", None) or 1.0
    return float(scale / (getattr(config, "logits_scaling", None) or 1.0))
