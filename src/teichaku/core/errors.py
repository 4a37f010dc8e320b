"""Errors that a user can mend, told apart from defects of the program.

A :class:`UserError` is shown without a traceback: what is wrong, where, and what to do.
Anything else keeps its traceback, because it is a bug.
"""


class UserError(Exception):
    """Something that the person at the keyboard can put right.

    ``message`` says what is wrong and where; ``hint`` says what to do about it.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class RecipeError(UserError):
    """A recipe with mistakes: all of them, each with its line."""


class MissingExtraError(UserError):
    """An optional part of the package is needed and not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs the extra '{extra}', which is not installed.",
            f"Install it with: pip install 'teichaku[{extra}]'",
        )


class ModelUnavailableError(UserError):
    """A model cannot be found, pulled, verified or reached."""


class StageEmptyError(UserError):
    """A stage has nothing left to hand on, so the run cannot go on."""
