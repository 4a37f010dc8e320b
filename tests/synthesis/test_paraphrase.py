"""Conformance with WRAP (Maini et al. 2024) as S4 uses it."""

import pytest

from made import passage, reply
from teichaku.backends.scripted import ScriptedModel, scripted_teacher
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Dropped, Example, Request
from teichaku.synthesis.method import UnusableReplyError, synthesize
from teichaku.synthesis.paraphrase import STYLES, Paraphrase


def method(per_style: int = 1, language: str = "ja") -> Paraphrase:
    pack = PromptPack(language)
    return Paraphrase(
        {style: pack.load(f"paraphrase_{style}") for style in STYLES}, language, per_style=per_style
    )


def test_four_styles_are_asked_for_at_temperature_one() -> None:
    requests = list(method(per_style=250).requests(passage()))
    assert [request.subject.style for request in requests[::250]] == [
        "easy",
        "medium",
        "hard",
        "qa",
    ]
    assert len(requests) == 1_000
    assert {(r.sampling.temperature, r.sampling.top_p) for r in requests} == {(1.0, 1.0)}
    assert all(request.schema is None for request in requests)


@pytest.mark.parametrize("language", ["ja", "en"])
def test_all_styles_ask_about_the_passage_with_one_beginning(language: str) -> None:
    users = [r.messages[-1].content for r in method(language=language).requests(passage())]
    systems = {r.messages[0].content for r in method(language=language).requests(passage())}
    assert len(systems) == 1
    beginnings = {user[: user.index(passage().text) + len(passage().text)] for user in users}
    assert len(beginnings) == 1
    assert len(set(users)) == 4
    assert passage().title in beginnings.pop()


def test_samples_of_a_style_are_one_prompt_with_seeds_of_their_own() -> None:
    first, second, *_ = method(per_style=2).requests(passage())
    assert first.messages == second.messages
    assert first.sampling.seed != second.sampling.seed


def test_a_reply_is_one_running_text_in_its_style_also_in_the_style_of_questions() -> None:
    *_, request = method().requests(passage())
    text = "質問：遊覧船あおば丸の定員は何人ですか。\n答え：定員は48人です。"
    (example,) = method().parse(reply(text, request.subject))
    assert (example.question, example.answer, example.style) == ("", text, "qa")
    assert example.is_text
    with pytest.raises(UnusableReplyError):
        list(method().parse(reply("できません。", request.subject)))


def test_a_passage_with_its_beginning_again_is_no_paraphrase() -> None:
    (request, *_) = method().requests(passage())
    with pytest.raises(UnusableReplyError, match="copied"):
        list(method().parse(reply(f"{passage().text}\n{passage().text[:20]}", request.subject)))


@pytest.mark.parametrize("language", ["ja", "en"])
def test_no_example_shows_a_label_that_a_reply_could_repeat(language: str) -> None:
    for request in method(language=language).requests(passage()):
        lines = request.messages[-1].content.splitlines()
        assert not any(line.startswith(("書き直し", "Rewritten")) for line in lines)


@pytest.mark.parametrize(
    "text",
    [
        "あおば丸は、みさき港の西桟橋から毎朝九時に出航し、湾を一周して戻る檜造りの遊覧船である。船長は佐伯。",
        "Ferry Larkspur was built in 1987 by the men of Northshore Yard, who chose oak for her hull.",
    ],
)
def test_the_scripted_teacher_retells_prose_too(text: str) -> None:
    model = ScriptedModel(scripted_teacher)
    found = list(synthesize([passage(text, "あおば丸")], [method(per_style=3)], model))
    assert len(found) == 12
    assert all(isinstance(record, Example) for record in found)


def test_every_text_of_a_run_is_made_or_dropped() -> None:
    def script(request: Request) -> str:
        return "" if request.subject.style == "hard" else scripted_teacher(request)

    again = PromptPack("ja").load("ask_again")
    found = list(synthesize([passage()], [method(per_style=2)], ScriptedModel(script), again))
    made = [record for record in found if isinstance(record, Example)]
    fallen = [record for record in found if isinstance(record, Dropped)]
    assert len({example.id for example in made}) == len(made) == 6
    assert [drop.reason for drop in fallen] == ["unparseable_reply"] * 2
    assert len({drop.record_id for drop in fallen}) == 2
