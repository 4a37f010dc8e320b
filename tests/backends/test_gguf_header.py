"""What a GGUF file says of its template and its tokens."""

from pathlib import Path
from typing import Any

import pytest

from gguf_files import WHOLE, without, write_gguf
from teichaku.backends.gguf_header import read_gguf_header
from teichaku.core.errors import ModelUnavailableError


def test_template_and_tokens_are_those_of_the_file(tmp_path: Path) -> None:
    header = read_gguf_header(write_gguf(tmp_path / "m.gguf", WHOLE))
    assert header.chat_template == WHOLE["tokenizer.chat_template"]
    assert (header.bos, header.adds_bos, header.special) == (1, True, frozenset({1, 2}))


def test_their_order_in_the_file_does_not_count(tmp_path: Path) -> None:
    turned = dict(reversed(WHOLE.items()))
    one, other = (write_gguf(tmp_path / f"{i}.gguf", v) for i, v in enumerate((WHOLE, turned)))
    assert read_gguf_header(one) == read_gguf_header(other)


@pytest.mark.parametrize(
    ("values", "template", "adds"),
    [
        (without("tokenizer.chat_template"), "", True),
        (without("tokenizer.ggml.add_bos_token"), WHOLE["tokenizer.chat_template"], True),
        (
            without("tokenizer.ggml.add_bos_token", **{"tokenizer.ggml.model": "gpt2"}),
            WHOLE["tokenizer.chat_template"],
            False,
        ),
        (without("tokenizer.ggml.bos_token_id"), WHOLE["tokenizer.chat_template"], False),
        ({}, "", False),
    ],
)
def test_what_a_file_does_not_say_is_not_made_up(
    tmp_path: Path, values: dict[str, Any], template: str, adds: bool
) -> None:
    header = read_gguf_header(write_gguf(tmp_path / "m.gguf", values))
    assert (header.chat_template, header.adds_bos) == (template, adds)


def test_no_beginning_of_a_file_is_read_as_a_whole_header(tmp_path: Path) -> None:
    whole = write_gguf(tmp_path / "m.gguf", WHOLE).read_bytes()
    for length in range(0, len(whole) - 1, 7):
        path = tmp_path / "cut.gguf"
        path.write_bytes(whole[:length])
        with pytest.raises(ModelUnavailableError, match=r"cut\.gguf cannot be read"):
            read_gguf_header(path)


@pytest.mark.parametrize("content", [b"no model at all, but long enough", b"GGUF" + b"\xff" * 60])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelUnavailableError, match="cannot be read"):
        read_gguf_header(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="cannot be read"):
        read_gguf_header(tmp_path / "none.gguf")
