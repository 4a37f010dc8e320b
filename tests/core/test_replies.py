import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages import texts
from teichaku.core.replies import json_objects, last_json_object, text_value, without_thinking

objects = st.dictionaries(texts, st.one_of(texts, st.integers(), st.none()), min_size=1, max_size=4)


@given(objects, texts.filter(lambda t: "{" not in t and "<" not in t))
def test_an_object_is_found_whatever_stands_around_it(value: dict[str, object], noise: str) -> None:
    written = json.dumps(value, ensure_ascii=False)
    if "<think" in written.lower():
        return
    assert value in list(json_objects(f"{noise}```json\n{written}\n```{noise}"))


def test_inner_objects_of_a_cut_off_list_are_found() -> None:
    cut = '{"pairs": [{"question": "名前は？", "answer": "守破離"}, {"question": "値段'
    assert list(json_objects(cut)) == [{"question": "名前は？", "answer": "守破離"}]


def test_thinking_is_left_out() -> None:
    reply = '<think>{"score": 3} かな</think>{"score": 8}'
    assert last_json_object(reply, ["score"]) == {"score": 8}
    assert without_thinking("<think>まだ考えている") == ""


def test_the_last_object_with_the_keys_counts() -> None:
    assert last_json_object('{"score": 1} {"score": 9} {"other": 2}', ["score"]) == {"score": 9}
    assert last_json_object("点数は9", ["score"]) is None


@pytest.mark.parametrize(
    ("value", "expected"), [(" a ", "a"), (7, "7"), (7.5, "7.5"), (None, ""), (True, ""), ([1], "")]
)
def test_scalars_become_text(value: object, expected: str) -> None:
    assert text_value(value) == expected
