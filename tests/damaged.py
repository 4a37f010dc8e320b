"""Replies in which something is wrong, for property tests of what reads them."""

from functools import reduce

from hypothesis import strategies as st

from languages import sentence, texts

#: What a teacher writes in the place of a string.
json_values = st.one_of(
    sentence, texts, st.none(), st.booleans(), st.integers(), st.lists(texts, max_size=2)
)
_piece = st.one_of(st.sampled_from(["{", "}", "[", "]", '"', ",", ":", "\\", "\n", "1. "]), texts)


def damaged(whole: str, most: int = 3) -> st.SearchStrategy[str]:
    """``whole``, in which up to ``most`` short stretches gave way to something else."""
    place = st.tuples(st.integers(0, len(whole)), st.integers(0, 12), _piece)
    return st.lists(place, max_size=most).map(lambda places: reduce(_put, places, whole))


def _put(text: str, place: tuple[int, int, str]) -> str:
    start, length, piece = place
    return text[:start] + piece + text[start + length :]
