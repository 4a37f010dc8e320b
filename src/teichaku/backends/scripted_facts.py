"""What the scripted teacher replies to prompts for facts and entities."""

from collections.abc import Callable

from teichaku.core.records import Request

#: The reply by the name of the prompt.
REPLIES: dict[str, Callable[[Request], str]] = {}
