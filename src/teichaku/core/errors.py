"""Errors that a user can mend, told apart from defects of the program.

A :class:`UserError` is shown without a traceback: what is wrong, where, and what to do.
Anything else keeps its traceback, because it is a bug.
"""

from typing import Any, Self

from teichaku.core.locale import translate


class UserError(Exception):
    """Something that the person at the keyboard can put right.

    ``message`` says what is wrong and where; ``hint`` says what to do about it. ``record`` is the
    message for files, which are in no interface's language.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.record = message

    @classmethod
    def told(cls, message: str, hint: str = "", **values: Any) -> Self:
        """The error with ``message`` in the language of the interface, filled with ``values``;
        ``hint`` is taken as it is.
        """
        error = cls(translate(message).format(**values), hint)
        error.record = message.format(**values)
        return error

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class RecipeError(UserError):
    """A recipe with mistakes: all of them, each with its line."""


class MissingExtraError(UserError):
    """An optional part of the package is needed and not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        needed = translate("{feature} needs the extra '{extra}', which is not installed.")
        super().__init__(
            needed.format(feature=feature, extra=extra),
            translate("Install it with: pip install 'teichaku[{extra}]'").format(extra=extra),
        )
        self.record = f"{feature} needs the extra '{extra}', which is not installed."


class ModelUnavailableError(UserError):
    """A model cannot be found, pulled, verified or reached."""


class StageEmptyError(UserError):
    """A stage has nothing left to hand on, so the run cannot go on."""
