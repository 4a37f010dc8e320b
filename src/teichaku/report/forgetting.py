"""What a loss on control questions is: an ability that is gone, or the form of the answers."""

from dataclasses import dataclass
from typing import Literal

from teichaku.report.study import Cell
from teichaku.report.tables import Estimate
from teichaku.report.verdict import MINIMUM_QUESTIONS

#: What was lost: an ability (``ability``), the form of answering with an ability or without one
#: (``both``, ``form``), the form for sure and perhaps an ability (``form_at_least``), or either
#: (``untold``). Where the untuned model is not shown to beat guessing, there is no ability to see:
#: the form of its guesses (``form_of_guesses``), or neither for sure (``guesses``).
Loss = Literal[
    "ability", "both", "form", "form_at_least", "untold", "form_of_guesses", "guesses"
]  # fmt: skip


@dataclass(frozen=True)
class Replies:
    """The replies behind a comparison on control questions, on the same items.

    ``floor`` is what guessing would reach on them: on each set the better of always giving the
    commonest answer and of naming any label blindly, and 0 on a set where nothing can be guessed.
    ``unread`` compares the shares of replies in which no answer can be read. ``in_form`` is the
    part of the change that lies in items where one of the two replies cannot be read,
    ``in_answers`` the part in all others: they add up to the change. ``readable`` is the number
    of those others, and ``readable_share`` their share of all items.
    """

    floor: float
    unread: Cell
    in_form: Estimate
    in_answers: Estimate
    readable: int
    readable_share: float


def is_above_guessing(before: Estimate, floor: float) -> bool:
    """Whether a model is shown to beat guessing: its whole interval lies above the floor."""
    return before.low is not None and before.low > floor


def loss_of(before: Estimate, replies: Replies, limit: float) -> Loss:
    """What a loss from ``before`` is; one up to ``limit`` makes none to the user.

    A reply that cannot be read hides what the model knows. So an ability counts as lost where
    answers that can be read are worse, and as kept where a loss of them beyond ``limit`` is ruled
    out and there are enough of them.
    """
    more, answers = replies.unread.difference, replies.in_answers
    is_form = more is not None and more.low is not None and more.low > 0
    if not is_above_guessing(before, replies.floor):
        return "form_of_guesses" if is_form else "guesses"
    if answers.high is not None and answers.high < 0:
        return "both" if is_form else "ability"
    if not is_form:
        return "untold"
    # The part is a mean over all items, and the limit one over those that can be read.
    is_kept = answers.low is not None and answers.low >= -limit * replies.readable_share
    is_enough = replies.readable >= MINIMUM_QUESTIONS
    return "form" if is_kept and is_enough else "form_at_least"
