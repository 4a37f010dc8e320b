"""What the scripted teacher replies to prompts for instruction data."""

from collections.abc import Callable

from teichaku.core.records import Request

#: The reply by the name of the prompt.
REPLIES: dict[str, Callable[[Request], str]] = {}
