"""What the parts of a recipe may be called."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError


def is_name_character(character: str) -> bool:
    """Whether a name may hold it: letters of any script with their marks, digits, ``_ . -``."""
    return character in "_.-" or unicodedata.category(character)[0] in "LMN"


def _checked_name(name: str) -> str:
    """Names become names of folders, on every system the same and never outside the run."""
    if not name or name.startswith(".") or not all(map(is_name_character, name)):
        raise PydanticCustomError(
            "name", "A name is made of letters, digits, '_', '.' and '-', and starts with no '.'"
        )
    return name


def _not_reserved(name: str) -> str:
    if name == "base":
        raise PydanticCustomError("reserved", "'base' is the untuned model; choose another name")
    return name


def not_full(name: str) -> str:
    """``name``, which must not be that of the recipe without a profile."""
    if name == "full":
        raise PydanticCustomError("reserved", "'full' means no profile; choose another name")
    return name


#: Codes of countries that are taken for those of languages, and are none.
_COUNTRIES = {"jp": "ja", "cn": "zh", "kr": "ko", "gr": "el", "dk": "da", "ua": "uk"}


def language_code(value: str) -> str:
    """The ISO 639 code in ``value`` (``ja`` of ``ja-JP``). Raises ``ValueError``."""
    code = value.partition("-")[0].lower()
    if not (code.isascii() and code.isalpha() and len(code) in (2, 3)) or code in _COUNTRIES:
        meant = f"; did you mean '{_COUNTRIES[code]}'?" if code in _COUNTRIES else ""
        raise ValueError(f"an ISO 639-1 code such as ja, en or zh is wanted{meant}")
    return code


Name = Annotated[str, AfterValidator(_checked_name)]
ArmName = Annotated[Name, AfterValidator(_not_reserved)]
