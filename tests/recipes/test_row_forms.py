import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages import texts
from made import example
from row_files import chat
from teichaku.core.records import Example
from teichaku.recipes.row_forms import Form, Given, RowError, find_form, without_turns

QUESTION, ANSWER = "定員は？", "48人です。"
ROWS: dict[str, dict[str, Any]] = {
    "chat": chat(QUESTION, ANSWER),
    "sharegpt": {"conversations": [{"from": "human", "value": QUESTION}, {"from": "gpt", "value": ANSWER}]},
    "alpaca": {"instruction": QUESTION, "input": "", "output": ANSWER},
    "questions": {"質問": QUESTION, "回答": ANSWER},
    "text": {"text": ANSWER},
}  # fmt: skip


#: An example of this program's own.
OWN = {
    **{"id": "a", "document_id": "d", "passage_id": "p", "method": "document_qa"},
    **{"question": QUESTION, "answer": ANSWER},
}


def form_of(row: dict[str, Any]) -> Form:
    found = find_form(list(row))
    assert found is not None
    return found


def as_example(given: Given) -> Example:
    return example(given.question, given.answer, input=given.input)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_each_form_is_read_and_written_as_it_was(name: str) -> None:
    row = {**ROWS[name], "score": 0.5, "出典": ["舟"]}
    form = form_of(row)
    found = form.read(row)
    assert found.answer == ANSWER
    assert found.question == ("" if name == "text" else QUESTION)
    assert form.write(as_example(found), found.rest) == row


@given(
    question=texts.filter(str.strip),
    answer=texts.filter(str.strip),
    name=st.sampled_from(["chat", "pairs"]),
)
def test_texts_are_left_as_they_stand(question: str, answer: str, name: str) -> None:
    row = chat(question, answer) if name == "chat" else {"question": question, "answer": answer}
    form = form_of(row)
    found = form.read(row)
    assert (found.question, found.answer) == (question, answer)
    line = form.line(as_example(found), found.rest)
    assert line.splitlines() == [line[:-1]]
    assert json.loads(line) == row


def test_a_longer_conversation_is_kept_whole() -> None:
    turns = [
        {"role": "system", "content": "船の案内をする。"},
        {"role": "user", "content": "定員は？"},
        {"role": "assistant", "content": "48人です。"},
        {"role": "user", "content": "料金は？"},
        {"role": "assistant", "content": "1,800円です。"},
    ]
    row = {"messages": turns}
    form = form_of(row)
    found = form.read(row)
    assert found.question == "定員は？\n\n48人です。\n\n料金は？"
    assert found.answer == "1,800円です。"
    assert form.write(as_example(found), found.rest) == row


def test_a_conversation_without_its_turns_comes_back_as_what_is_left_of_it() -> None:
    turns = [
        {"role": "user", "content": "電話は？"},
        {"role": "assistant", "content": "03-1234-5678"},
    ]
    row = {"messages": [{"role": "system", "content": "案内"}, *turns], "n": 1}
    form = form_of(row)
    found = form.read(row)
    masked = example(found.question, "[電話番号]")
    rest = without_turns(found.rest)
    assert form.write(masked, rest) == {**chat("電話は？", "[電話番号]"), "n": 1}
    assert without_turns(rest) == rest
    assert without_turns("") == ""


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"messages": []}, "does not end with a model's reply"),
        ({"messages": "定員は？"}, "is no list of turns"),
        ({"messages": [{"role": "user", "content": "定員は？"}]}, "does not end with a model's reply"),
        ({"messages": [{"role": "assistant", "content": "48人"}]}, "no question before the reply"),
        ({"messages": [{"role": "user"}, {"role": "assistant", "content": "x"}]}, "no 'content'"),
        ({"question": "  ", "answer": "48人"}, "'question' is empty"),
        ({"question": "定員は？", "answer": None}, "'answer' is empty"),
        ({"question": "定員は？", "answer": {"text": "48人"}}, "'answer' is no text"),
        ({"text": "\n"}, "'text' is empty"),
        ({"text": float("nan")}, "'text' is empty"),
        ({**OWN, "price": "0.5"}, "'price' is no number"),
        ({**OWN, "price": Decimal("1e400")}, "'price' is no finite number"),
        ({**OWN, "price": 10**400}, "'price' is no finite number"),
        ({**OWN, "sample_index": 0.5}, "'sample_index' is no whole number"),
        ({**OWN, "sample_index": True}, "'sample_index' is no number"),
        ({**OWN, "fact_ids": "f1"}, "'fact_ids' is no list of texts"),
        ({**OWN, "fact_ids": [1]}, "'fact_ids' is no list of texts"),
        ({**OWN, "category": ["料金"]}, "'category' is no text"),
    ],
)  # fmt: skip
def test_a_row_without_an_example_says_why(row: dict[str, Any], why: str) -> None:
    with pytest.raises(RowError, match=why):
        form_of(row).read(row)


def test_columns_of_no_form_are_none() -> None:
    assert find_form(["id", "score"]) is None
    assert find_form(["question", "options"]) is None
    assert find_form(["ID", "text", "output"]) == Form("pairs", ("text", "", "output"))
    assert find_form(["ＱＵＥＳＴＩＯＮ", "Answer"]) == Form(
        "pairs", ("ＱＵＥＳＴＩＯＮ", "", "Answer")
    )
