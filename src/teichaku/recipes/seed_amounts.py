"""How much a method over instructions will ask, as far as that is known before it begins.

``domain_spread`` and ``evol_instruct`` ask about each instruction alone, so what they ask grows
with those; what ``self_instruct`` asks grows with the new instructions that it is to make.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil

from teichaku.core.records import Example, content_id
from teichaku.synthesis.domain_spread import DomainSpread
from teichaku.synthesis.evol_instruct import EvolInstruct
from teichaku.synthesis.instruction_pool import chosen, without_document
from teichaku.synthesis.method import SeedMethod
from teichaku.synthesis.self_instruct import LIST_ITEMS, SelfInstruct


def amount(method: SeedMethod, seeds: Sequence[Example], pool: int) -> int:
    """How many instructions ``method`` takes one by one, or is to make, where the methods before
    it make ``pool``.
    """
    if isinstance(method, SelfInstruct):
        return method.instructions
    if not isinstance(method, DomainSpread | EvolInstruct):
        raise TypeError(f"nothing is known of {method.name}")
    there = len(without_document(seeds)) + (pool if method.of == "all" else 0)
    return there if method.limit is None else min(there, method.limit)


def small(
    method: SeedMethod, seeds: Sequence[Example], size: int
) -> tuple[SeedMethod, list[Example], int]:
    """A sample of ``method``: it with its seeds and its amount, for ``size`` seeds, or for
    ``size`` lists of new instructions.

    It asks in the same words as the whole, but where that shows or takes what was made before.
    """
    if isinstance(method, SelfInstruct):
        target = min(size * LIST_ITEMS, method.instructions)
        return replace(method, instructions=target), list(seeds), target
    if not isinstance(method, DomainSpread | EvolInstruct):
        raise TypeError(f"nothing is known of {method.name}")
    drawn_by = content_id(method.seed, method.name)
    taken = chosen(seeds, [], "seeds", method.limit, drawn_by)
    taken = sorted(taken, key=lambda seed: content_id(method.seed, seed.id))[:size]
    return replace(method, of="seeds", limit=None), taken, len(taken)


def expected_requests(
    method: SeedMethod, seeds: Sequence[Example], pool: Sequence[Example]
) -> dict[str, float]:
    """About how many requests ``method`` will send by each prompt, if few replies fall."""
    units = amount(method, seeds, len(without_document(pool)))
    if isinstance(method, DomainSpread):
        domains = len(method.domains)
        return {"domain_spread": units * min(method.per_seed or domains, domains)}
    if isinstance(method, EvolInstruct):
        each = float(units * method.rounds)
        return {"evol_in_depth": each, "evol_equal": each, "instruction_answer": each}
    return {
        "self_instruct": ceil(units / LIST_ITEMS),
        "self_instruct_classify": units,
        "self_instruct_input_first": units,
    }
