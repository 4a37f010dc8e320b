"""Every form says all of an example, and every example has a form."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages import texts
from made import example
from teichaku.core.records import Example
from teichaku.recipes.formats import FORMATS, Format

said = texts.filter(bool)
pairs = st.builds(example, said, texts, input=texts)
running = st.builds(lambda text: example("", text), said)
anything = st.one_of(pairs, running)
CONVERSATIONS = {"chat", "alpaca", "sharegpt"}


@given(anything)
def test_pairs_go_to_conversations_and_running_text_to_plain_text(made: Example) -> None:
    takers = {name for name, form in FORMATS.items() if not form.left_out(made)}
    assert takers == ({"text"} if made.is_text else CONVERSATIONS)


@pytest.mark.parametrize(
    ("form", "made", "reason"),
    [
        ("chat", example("", "あおば丸は遊覧船である。"), "running_text"),
        ("text", example("定員は？", "48人"), "question_and_answer"),
    ],
)
def test_what_a_form_leaves_out_has_a_reason(form: str, made: Example, reason: str) -> None:
    assert FORMATS[form].left_out(made) == reason


@given(anything, st.sampled_from(sorted(FORMATS.values(), key=lambda form: form.name)))
def test_a_line_is_one_line_for_every_reader(made: Example, form: Format) -> None:
    line = form.line(made)
    assert line.endswith("\n")
    # str.splitlines ends lines at more characters than any file does.
    assert len(line.splitlines()) == 1
    assert json.loads(line) == {"id": made.id, **form.write(made)}


@given(pairs)
def test_question_input_and_answer_come_back_from_alpaca(made: Example) -> None:
    row = json.loads(FORMATS["alpaca"].line(made))
    assert (row["instruction"], row["input"], row["output"]) == (
        made.question, made.input, made.answer,
    )  # fmt: skip


@given(pairs)
def test_conversations_hold_question_input_and_answer_and_nothing_else(made: Example) -> None:
    user, assistant = json.loads(FORMATS["chat"].line(made))["messages"]
    assert (user["role"], assistant["role"]) == ("user", "assistant")
    between = "\n\n" if made.input else ""
    assert user["content"] == made.question + between + made.input
    assert assistant["content"] == made.answer
    human, gpt = json.loads(FORMATS["sharegpt"].line(made))["conversations"]
    assert (human["from"], gpt["from"]) == ("human", "gpt")
    assert (human["value"], gpt["value"]) == (user["content"], assistant["content"])


@given(running)
def test_running_text_comes_back_from_plain_text(made: Example) -> None:
    assert json.loads(FORMATS["text"].line(made))["text"] == made.answer
