"""One stream of requests and what follows from them."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from string import Formatter

import teichaku
from teichaku.backends.scripted import ScriptedError, ScriptedModel
from teichaku.core.asking import UnusableReplyError, ask
from teichaku.core.models import ChatModel
from teichaku.core.prompts import PromptPack, problem_texts
from teichaku.core.records import Message, Reply, Request, Sampling
from teichaku.core.text import is_language

AGAIN = PromptPack("ja").load("ask_again")


def request(text: str) -> Request:
    return Request((Message("user", text),), Sampling(), subject=text)


def lost(reply: Reply, reason: str, evidence: str) -> str:
    return f"{reason} {reply.request.subject}: {evidence}"


def branching(reply: Reply) -> Iterator[str | Request]:
    """Every text of fewer than three letters gives rise to two that are longer by one."""
    yield reply.request.subject
    if len(reply.request.subject) < 3:
        yield request(f"{reply.request.subject}あ")
        yield request(f"{reply.request.subject}い")


class Slow:
    """Keeps ``room`` requests on their way and hands the replies on in the reverse order."""

    identity = "slow"

    def __init__(self, room: int) -> None:
        self.room = room

    def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        on_the_way: list[Request] = []
        for asked in requests:
            if asked is not None:
                on_the_way.append(asked)
            elif not on_the_way:
                return
            if on_the_way and (asked is None or len(on_the_way) == self.room):
                yield Reply(on_the_way.pop(), "")
        yield from (Reply(asked, "") for asked in reversed(on_the_way))


def test_what_follows_from_replies_is_asked_and_answered_once_by_any_model() -> None:
    first = [request("か"), request("き")]
    expected = sorted(
        start + middle + end
        for start in "かき"
        for middle in ("", "あ", "い")
        for end in (("",) if not middle else ("", "あ", "い"))
    )
    models: list[ChatModel] = [ScriptedModel(lambda _: ""), Slow(1), Slow(3), Slow(100)]
    for model in models:
        assert sorted(ask(model, first, branching, lost)) == expected


def test_what_follows_goes_out_before_anything_new() -> None:
    sent: list[str] = []

    def script(asked: Request) -> str:
        sent.append(asked.subject)
        return ""

    model = ScriptedModel(script)
    list(ask(model, [request("か"), request("き")], branching, lost))
    assert sent[:7] == ["か", "かあ", "かい", "かああ", "かあい", "かいあ", "かいい"]


def test_further_requests_are_told() -> None:
    told: list[int] = []
    list(ask(ScriptedModel(lambda _: ""), [request("か")], branching, lost, expecting=told.append))
    assert sum(told) == 6


def only_numbers(reply: Reply) -> Iterator[str | Request]:
    if not reply.text.isdecimal():
        raise UnusableReplyError("it is no number.")
    yield reply.text


def test_a_reply_of_no_use_is_asked_for_once_more_with_what_was_wrong() -> None:
    seen: list[Request] = []

    def script(asked: Request) -> str:
        seen.append(asked)
        return "百二十" if asked.attempt == 0 else "120"

    assert list(ask(ScriptedModel(script), [request("定員は？")], only_numbers, lost, AGAIN)) == [
        "120"
    ]
    first, second = seen
    assert second.messages[:2] == (*first.messages, Message("assistant", "百二十"))
    assert "it is no number." in second.messages[-1].content
    assert second.subject == first.subject


def test_an_empty_reply_is_not_shown_to_the_model_as_a_turn() -> None:
    roles: list[list[str]] = []

    def script(asked: Request) -> str:
        roles.append([message.role for message in asked.messages])
        return "" if asked.attempt == 0 else "5"

    assert list(ask(ScriptedModel(script), [request("定員は？")], only_numbers, lost, AGAIN)) == [
        "5"
    ]
    assert roles == [["user"], ["user"]]


def test_what_stays_of_no_use_and_what_fails_is_lost_with_its_reason() -> None:
    def script(asked: Request) -> str:
        if asked.subject == "丙":
            raise ScriptedError("server is down")
        return "なし"

    found = list(
        ask(ScriptedModel(script), [request("乙"), request("丙")], only_numbers, lost, AGAIN)
    )
    assert sorted(found) == sorted(
        ["unparseable_reply 乙: it is no number.", "request_failed 丙: server is down"]
    )
    once = list(ask(ScriptedModel(script), [request("乙")], only_numbers, lost))
    assert once == ["unparseable_reply 乙: it is no number."]


def test_a_model_is_told_in_the_language_of_its_prompts_and_people_in_english() -> None:
    told: list[str] = []

    def script(asked: Request) -> str:
        told.append(asked.messages[-1].content)
        return "なし"

    def fails(reply: Reply) -> Iterator[str | Request]:
        raise UnusableReplyError("no valid score in the reply.")

    found = list(ask(ScriptedModel(script), [request("問")], fails, lost, AGAIN))
    assert "返事に有効な点数がありません。" in told[1]
    assert found == ["unparseable_reply 問: no valid score in the reply."]


def test_all_that_is_wrong_is_told_at_once_in_the_language_of_the_prompts() -> None:
    mistakes = [
        UnusableReplyError("{slot}: '{value}' is empty.", slot="place", value=""),
        UnusableReplyError("{slot}: '{value}' holds a figure.", slot="use", value="3 cups"),
    ]
    error = UnusableReplyError.of_all(mistakes)
    assert str(error) == "place: '' is empty. use: '3 cups' holds a figure."
    assert error.told_in("ja") == "place：「」は空です。 use：「3 cups」に数字が入っています。"
    assert error.told_in("en") == str(error)


def test_a_model_is_told_that_its_reply_is_of_no_use_and_not_that_it_cannot_be_read() -> None:
    for language, wrong in (("ja", "読み取れません"), ("en", "could not be read")):
        again = PromptPack(language).load("ask_again")
        assert again.name.endswith("@2")
        assert wrong not in again.text(problem="")


def test_whatever_is_wrong_with_a_reply_can_be_said_in_japanese() -> None:
    source = Path(teichaku.__file__).parent
    said = [
        call.args[0]
        for path in source.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "UnusableReplyError"
    ]
    composed = [ast.unparse(text) for text in said if not isinstance(text, ast.Constant)]
    assert not composed, "nobody has words for what is put together where it is raised"
    problems = {text.value for text in said if isinstance(text, ast.Constant)}
    asked = problems - {"verbatim asks for no reply."}
    words = problem_texts("ja")
    assert len(asked) > 15
    assert asked <= words.keys()
    for problem, translated in words.items():
        places = {name for _, name, _, _ in Formatter().parse(problem) if name}
        assert places == {name for _, name, _, _ in Formatter().parse(translated) if name}
        assert is_language(translated, "ja")
