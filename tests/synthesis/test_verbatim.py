"""S4's control: the passage itself, without a teacher."""

from made import BOAT, passage
from teichaku.backends.scripted import ScriptedModel
from teichaku.core.records import Example, Request
from teichaku.synthesis.method import synthesize
from teichaku.synthesis.verbatim import Verbatim


def never(request: Request) -> str:
    raise AssertionError(f"asked: {request.messages}")


def test_the_passage_comes_once_word_for_word_and_no_teacher_is_asked() -> None:
    passages = [passage(), passage("定員は5人である。", "小舟")]
    found = list(synthesize(passages, [Verbatim("ja")], ScriptedModel(never)))
    assert [example.answer for example in found if isinstance(example, Example)] == [
        BOAT,
        "小舟\n定員は5人である。",
    ]
    for example in found:
        assert isinstance(example, Example)
        assert example.is_text
        assert (example.prompt, example.request_key, example.completion_tokens) == ("", "", 0)


def test_the_title_is_left_out_where_there_is_none_or_the_text_names_it() -> None:
    for of in (passage(), passage("船の定員は48人。", "")):
        (example,) = Verbatim("ja").requests(of)
        assert example.answer == of.text


def test_copies_are_examples_of_their_own() -> None:
    copies = list(Verbatim("ja", copies=3).requests(passage()))
    assert len({example.id for example in copies}) == 3
    assert {example.answer for example in copies} == {BOAT}
    assert [example.sample_index for example in copies] == [0, 1, 2]
