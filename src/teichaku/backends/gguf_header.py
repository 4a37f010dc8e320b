"""What the header of a GGUF file says about how its model is asked.

Read by hand: the library for these files goes through every token of the vocabulary, which takes
it seconds at each look, and these five values are all that is needed. The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from teichaku.core.errors import ModelUnavailableError

_MAGIC = b"GGUF"
_STRING, _ARRAY = 8, 9
#: The kinds of values of a fixed length, in struct's notation.
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q",
            12: "d"}  # fmt: skip
_TEMPLATE, _BOS = "tokenizer.chat_template", "tokenizer.ggml.bos_token_id"
_ADDS_BOS, _KIND = "tokenizer.ggml.add_bos_token", "tokenizer.ggml.model"
_TYPES = "tokenizer.ggml.token_type"
_WANTED = frozenset({_TEMPLATE, _BOS, _ADDS_BOS, _KIND, _TYPES})
#: The type of a token that is no text but steers the model.
_CONTROL = 3
#: No template, name or vocabulary is longer; a length beyond it is one of a damaged file.
_LONGEST = 1 << 30


@dataclass(frozen=True)
class GgufHeader:
    """``chat_template`` is empty where the file has none; llama.cpp then puts one of its own
    around what it is asked. ``bos`` is the token for the beginning of a text, ``adds_bos`` whether
    the file says that texts begin with it (by custom they do where it says nothing and the tokens
    are SentencePiece's), ``special`` the tokens that are no text.
    """

    chat_template: str
    bos: int | None
    adds_bos: bool
    special: frozenset[int]


def read_gguf_header(path: Path) -> GgufHeader:
    """The header of the file. Raises ``ModelUnavailableError`` where it is no GGUF file, or cut off
    within its header.
    """
    try:
        with path.open("rb") as file:
            found = _metadata(file)
    except (OSError, struct.error, ValueError, KeyError, OverflowError, EOFError) as error:
        raise ModelUnavailableError(
            f"The header of {path} cannot be read: {error}.",
            "The file is no GGUF model, or cut off: pull it again.",
        ) from error
    types = found.get(_TYPES, ())
    bos = found.get(_BOS)
    return GgufHeader(
        str(found.get(_TEMPLATE, "")),
        None if bos is None else int(bos),
        bool(found.get(_ADDS_BOS, found.get(_KIND) == "llama")) and bos is not None,
        frozenset(token for token, kind in enumerate(types) if kind == _CONTROL),
    )


def _metadata(file: BinaryIO) -> dict[str, Any]:
    """The values of the header that are wanted, by key."""
    magic, version, _, count = struct.unpack("<4sIQQ", _bytes(file, 24))
    if magic != _MAGIC or not 2 <= version < 1 << 16:
        raise ValueError("it does not begin as a GGUF file of version 2 or later")
    found: dict[str, Any] = {}
    for _ in range(count):
        key = _text(file)
        (kind,) = struct.unpack("<I", _bytes(file, 4))
        if key in _WANTED:
            found[key] = _value(file, kind)
        else:
            _skip(file, kind)
    return found


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _text(file)
    if kind != _ARRAY:
        layout = f"<{_NUMBERS[kind]}"
        return struct.unpack(layout, _bytes(file, struct.calcsize(layout)))[0]
    of, length = struct.unpack("<IQ", _bytes(file, 12))
    layout = f"<{length}{_NUMBERS[of]}"
    return struct.unpack(layout, _bytes(file, struct.calcsize(layout)))


def _skip(file: BinaryIO, kind: int) -> None:
    if kind == _STRING:
        (length,) = struct.unpack("<Q", _bytes(file, 8))
        file.seek(length, 1)
    elif kind == _ARRAY:
        of, length = struct.unpack("<IQ", _bytes(file, 12))
        if of in _NUMBERS:
            file.seek(length * struct.calcsize(f"<{_NUMBERS[of]}"), 1)
        else:
            for _ in range(length):
                _skip(file, of)
    else:
        file.seek(struct.calcsize(f"<{_NUMBERS[kind]}"), 1)


def _text(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", _bytes(file, 8))
    return _bytes(file, length).decode("utf-8", "replace")


def _bytes(file: BinaryIO, length: int) -> bytes:
    if length > _LONGEST:
        raise ValueError("a length in it is impossible")
    found = file.read(length)
    if len(found) < length:
        raise EOFError("it ends in its header")
    return found
