"""The language of what the program itself says: English in the code, Japanese beside it."""

import json
import os
from functools import cache
from pathlib import Path

_CATALOGUES = Path(__file__).parents[1] / "locale"


def interface_language() -> str:
    """``ja`` or ``en``: from TEICHAKU_LANG, else from the system's locale."""
    for name in ("TEICHAKU_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name, "")
        if value:
            return "ja" if value.lower().startswith("ja") else "en"
    return "en"


@cache
def catalogue(language: str) -> dict[str, str]:
    """English text to its translation; empty for English."""
    path = _CATALOGUES / f"{language}.json"
    if not path.is_file():
        return {}
    loaded: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def translate(text: str) -> str:
    """``text`` in the language of the interface; as it is where no translation is known."""
    return catalogue(interface_language()).get(text, text)
