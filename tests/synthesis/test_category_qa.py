"""Conformance with S1 (Ogawa, Kawahara and Aizawa)."""

import json
from collections import Counter

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from languages import sentence
from made import passage, reply
from teichaku.core.prompts import PromptPack, category_file
from teichaku.synthesis.category_qa import Category, CategoryQA
from teichaku.synthesis.method import Subject, UnusableReplyError


def method(language: str = "ja", seed: int = 0) -> CategoryQA:
    path = category_file(language, "academic")
    assert path is not None
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    categories = [
        Category(c["name"], c["label"], c["description"], c["answer_length"], **c["example"])
        for c in data["categories"]
    ]
    prompt = PromptPack(language).load("category_qa")
    return CategoryQA(prompt, language, categories, data["example_sets"], seed)


def test_the_six_categories_and_their_answer_lengths() -> None:
    for language in ("ja", "en"):
        lengths = {c.name: c.answer_length for c in method(language).categories}
        assert lengths == {
            "goal_orientation": "long",
            "instrumental": "long",
            "causal_antecedent": "long",
            "causal_consequent": "long",
            "quantification": "short",
            "verification": "short",
        }


def test_three_example_sets_are_drawn_with_equal_probability_and_by_seed() -> None:
    qa = method()
    passages = [passage(f"抄録{number}") for number in range(3_000)]
    drawn = Counter(qa.example_set(p, 0) for p in passages)
    assert sorted(map(len, qa.example_sets.values())) == [5, 5, 6]
    missing = [set(qa.example_sets[max(qa.example_sets, key=lambda n: len(qa.example_sets[n]))])
               - set(names) for names in qa.example_sets.values()]  # fmt: skip
    assert sorted(map(sorted, missing)) == [[], ["causal_antecedent"], ["goal_orientation"]]
    assert all(900 < count < 1_100 for count in drawn.values())
    again, other = method(), method(seed=1)
    assert [qa.example_set(p, 0) for p in passages] == [again.example_set(p, 0) for p in passages]
    assert [qa.example_set(p, 0) for p in passages] != [other.example_set(p, 0) for p in passages]


def test_the_prompt_shows_one_example_of_each_category_of_the_drawn_set() -> None:
    qa = method()
    for number in range(12):
        of = passage(f"抄録{number}")
        (request,) = qa.requests(of)
        names = qa.example_sets[qa.example_set(of, 0)]
        shown = request.messages[-1].content + request.messages[0].content
        for category in qa.categories:
            assert (category.question in shown) == (category.name in names)
        assert request.schema is not None
        assert request.schema["properties"]["category"]["enum"] == list(names)
        assert shown.count(of.text) == 1


def test_one_question_an_abstract_with_the_category_that_the_teacher_returns() -> None:
    qa = method()
    assert len(list(qa.requests(passage()))) == 1
    answer = {
        "category": "quantification",
        "question": "あおば丸の定員は何人か。",
        "answer": "48人",
    }
    (request,) = qa.requests(passage())
    (found,) = qa.parse(reply(json.dumps(answer), request.subject))
    assert (found.category, found.answer) == ("quantification", "48人")
    assert found.style in qa.example_sets


@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_example_of_the_prompt_is_what_it_asks_for(language: str) -> None:
    qa = method(language)
    shown = qa.prompt.messages(
        passage="", title="", categories=qa.categories,
        examples=[{"category": c.name, "passage": c.passage, "question": c.question,
                   "answer": c.answer} for c in qa.categories],
    )[-1].content  # fmt: skip
    replies = [line for line in shown.splitlines() if line.startswith('{"category"')]
    for category, text in zip(qa.categories, replies, strict=True):
        (found,) = qa.parse(reply(text, Subject(passage(), qa)))
        assert (found.category, found.question, found.answer) == (
            category.name, category.question, category.answer,
        )  # fmt: skip


def test_an_unknown_category_is_of_no_use() -> None:
    answer = json.dumps({"category": "price", "question": "料金は？", "answer": "1,800円"})
    with pytest.raises(UnusableReplyError, match="price"):
        list(method().parse(reply(answer, Subject(passage(), method()))))


@given(sentence, sentence, st.sampled_from(method().categories))
def test_lines_that_name_category_question_and_answer_are_read(
    question: str, answer: str, category: Category
) -> None:
    for text in (
        f"種類：{category.name}（{category.label}）\n質問：{question}\n答え：{answer}",
        f"Category: {category.name}\nQuestion: {question}\nAnswer: {answer}",
    ):
        qa = method()
        (found,) = qa.parse(reply(text, Subject(passage(), qa)))
        assert (found.category, found.question, found.answer) == (category.name, question, answer)
        with pytest.raises(UnusableReplyError):
            list(qa.parse(reply(text, Subject(passage(), qa), finish_reason="length")))
