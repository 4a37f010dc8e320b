"""GGUF files that end behind their header, which says what a test wants."""

import struct
from pathlib import Path
from typing import Any

WHOLE: dict[str, Any] = {
    "general.architecture": "llama",
    "general.file_type": 7,
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", "京"],
    "tokenizer.ggml.scores": [0.0, 0.0, 0.0, -1.5],
    "tokenizer.ggml.token_type": [2, 3, 3, 1],
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.add_bos_token": True,
    "tokenizer.chat_template": "{% for m in messages %}〔{{ m.content }}〕{% endfor %}",
}


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def value_of(value: Any) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", 8) + text(value)
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value[0], str):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))
    kind, layout = (6, "f") if isinstance(value[0], float) else (5, "i")
    return struct.pack(f"<IIQ{len(value)}{layout}", 9, kind, len(value), *value)


def write_gguf(path: Path, values: dict[str, Any]) -> Path:
    """A file that ends behind its header, which is all that is read."""
    head = struct.pack("<4sIQQ", b"GGUF", 3, 0, len(values))
    path.write_bytes(head + b"".join(text(key) + value_of(one) for key, one in values.items()))
    return path


def without(*keys: str, **changes: Any) -> dict[str, Any]:
    return {key: one for key, one in {**WHOLE, **changes}.items() if key not in keys}
