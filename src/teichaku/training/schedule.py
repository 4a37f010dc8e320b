"""The learning rate as a function of the step."""

import math
from typing import Literal

ScheduleKind = Literal["cosine", "constant"]


def learning_rate(
    step: int, total: int, peak: float, warmup_share: float, kind: ScheduleKind
) -> float:
    """The learning rate of ``step``, counted from 1 to ``total``.

    It rises in a straight line to ``peak`` over the first ``warmup_share`` of the steps, then
    stays there (``constant``) or falls along half a cosine towards zero (``cosine``;
    Loshchilov and Hutter 2017). Every step has a rate above zero. Raises ``ValueError`` for a
    step outside of 1 to ``total``.
    """
    if not 1 <= step <= total:
        raise ValueError(f"step must be from 1 to {total}, got {step}")
    warmup = math.ceil(total * warmup_share)
    if step <= warmup:
        return peak * step / warmup
    if kind == "constant":
        return peak
    progress = (step - 1 - warmup) / (total - warmup)
    return peak * (1 + math.cos(math.pi * progress)) / 2
