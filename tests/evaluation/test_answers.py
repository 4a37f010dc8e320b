import pytest

from made import passage, question
from teichaku.backends.scripted import ScriptedModel
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Condition
from teichaku.evaluation.answers import Asked, Conditions, answer_questions

PACK = PromptPack("ja")
CONDITIONS = Conditions(
    PACK.load("closed_book"), PACK.load("open_book"), {passage().id: passage()}, 64
)


@pytest.mark.parametrize("condition", ["closed_book", "open_book"])
@pytest.mark.parametrize("text", ["The answer is:\n48", "\n48"])
def test_an_answer_may_have_several_lines(condition: Condition, text: str) -> None:
    asked = Asked("base", "base", condition)
    boat = question("定員は？", "48人")
    model = ScriptedModel(lambda request: "" if request.sampling.stop else text)
    (answer,) = answer_questions([boat], model, asked, CONDITIONS)
    assert answer.text == text.strip()


def test_the_passage_is_shown_open_book_only() -> None:
    boat = question("定員は？", "48人")
    shown = {
        condition: CONDITIONS.request(boat, condition).messages[-1].content
        for condition in ("closed_book", "open_book")
    }
    assert passage().text in shown["open_book"]
    assert passage().text not in shown["closed_book"]
    assert CONDITIONS.request(boat, "closed_book").sampling.max_tokens == 64
