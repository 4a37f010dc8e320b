"""Many texts at once are what ``comparable`` makes of each; hashes tell different texts apart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages import texts
from teichaku.core.text import character_ngrams, comparable
from teichaku.curation.shingles import comparable_codes, ngram_hashes, text_hashes

#: What the rules about marks, digits and widths are about, close together.
awkward = st.text(
    alphabet="12e３½٣๑あーアｱﾟﾞがàé́aZİß가가.,、-－〜 　\n\t%+#¥￥$€*;（）。🍣ทั้三気度円−‐▲\ufe0f",
    max_size=24,
)
many = st.lists(st.one_of(texts, awkward), max_size=6)


def split(values: np.ndarray, counts: np.ndarray) -> list[np.ndarray]:
    return np.split(values, np.cumsum(counts)[:-1]) if len(counts) else []


def as_text(codes: np.ndarray) -> str:
    return "".join(map(chr, codes.tolist()))


@given(many)
def test_codes_are_those_of_comparable(values: list[str]) -> None:
    found = [as_text(part) for part in split(*comparable_codes(values))]
    assert found == [comparable(value) for value in values]


@pytest.mark.parametrize(
    "text",
    [
        "1-4", "1.5", "10, 20", "10、20", "1,800円", "１，２３４，５６７", "12,34", "1、800", "1 800", "C++とC#", "50%。20", "-5度", "1e-4", "2e−5", "x-1", "x - 1", "2x-1", "GPT-4", "é-1", "x- 1",
        "は-5", "PX-20A", "$5", "５ ￥3", "2 -3", "2. 3", "a%%1", "%1", "", " ", "ﾊﾟﾘ", "か゛", "ญี่ปุ่น 2530",
        "e\u0301", "가", "①②", "x²", "\ud800x", "𠮷野家", "１\n２",
    ],
)  # fmt: skip
def test_what_a_mark_means_is_kept(text: str) -> None:
    # Neighbours change nothing: marks and digits do not reach over the edge of a text.
    found = [as_text(part) for part in split(*comparable_codes(["1", text, "2", "-", "3"]))]
    assert found == ["1", comparable(text), "2", "", "3"]


def test_every_character_alone_is_what_comparable_makes_of_it() -> None:
    characters = [chr(code) for code in range(0x21000)]
    codes, counts = comparable_codes(characters)
    wholes = [comparable(character) for character in characters]
    assert counts.tolist() == [len(whole) for whole in wholes]
    assert as_text(codes) == "".join(wholes)


@given(many, st.integers(1, 5))
def test_ngrams_are_those_of_each_text(values: list[str], size: int) -> None:
    codes, counts = comparable_codes(values)
    owners, hashes = ngram_hashes(codes, counts, size)
    for place, value in enumerate(values):
        whole = comparable(value)
        ngrams = character_ngrams(whole, size) if len(whole) >= size else set()
        assert len(set(hashes[owners == place].tolist())) == len(ngrams)


@given(many)
def test_texts_have_one_hash_where_they_are_the_same(values: list[str]) -> None:
    hashes = text_hashes(*comparable_codes(values)).tolist()
    assert len(set(hashes)) == len({comparable(value) for value in values})


def test_order_counts_in_the_hash_of_a_text() -> None:
    hashes = text_hashes(*comparable_codes(["あい", "いあ", "ああい", "あ", ""]))
    assert len(set(hashes.tolist())) == 5
