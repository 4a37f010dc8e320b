"""Asking the items of a set, turn after turn where a set has several, in one stream."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from teichaku.core.asking import ask
from teichaku.core.models import ChatModel
from teichaku.core.records import Answer, Reply, Request, content_id
from teichaku.core.replies import without_thinking
from teichaku.evaluation.answers import Asked, said_in
from teichaku.evaluation.benchmarks.frames import Asking
from teichaku.evaluation.benchmarks.rows import Item

#: Why a turn was not asked: templates refuse an empty turn, and there is nothing to go on from.
NOT_ASKED = "not asked: the turn before it failed or is empty"

#: How an item is put: as a chat; in the plain frame as it stands; in the same frame as one message
#: of a chat, around which the model's template comes.
Put = Literal["chat", "plain", "plain_in_chat"]


def ask_items(
    items: Sequence[Item], asking: Asking, model: ChatModel, asked: Asked, put: Put = "chat"
) -> Iterator[Answer]:
    """One answer an item, as they come: as a chat, or (without turns) in the plain frame. What a
    reasoning model thinks aloud is no part of it, nor is the space around an answer of a chat.

    A later turn is asked after the answer to the one before it. Where that failed or is empty,
    it is not asked, and its answer has the error :data:`NOT_ASKED`. Raises ``ValueError`` where
    turns are to be asked in the plain frame.
    """
    later = {(item.conversation, item.turn): item for item in items if item.turn}
    if later and put != "chat":
        raise ValueError("turns of a conversation need a chat")
    first = [item for item in items if not item.turn]
    waiting = {item.question.id: item for item in items}

    def read(reply: Reply) -> Iterator[Answer | Request]:
        item: Item = reply.request.subject
        said, error = said_in(reply)
        # What follows a plain text is kept as it stands: a blank line at its start ends the answer
        # as published (:func:`~teichaku.evaluation.benchmarks.frames.published_answer`).
        said = without_thinking(reply.text) if put == "plain" else said
        yield _answer(reply, item, asked, said, error)
        following = later.get((item.conversation, item.turn + 1)) if item.conversation else None
        if following is not None and said:
            yield asking.following(replace(reply, text=said), following)

    def lost(reply: Reply, reason: str, evidence: str) -> Answer:
        return _answer(reply, reply.request.subject, asked, "", evidence)

    requests = (request_of(item, asking, put) for item in first)
    for answer in ask(model, requests, read, lost):
        del waiting[answer.question_id]
        yield answer
    for item in waiting.values():
        yield Answer(
            _identity(item, asked), item.question.id, asked.arm, asked.checkpoint,
            asked.condition, "", error=NOT_ASKED,
        )  # fmt: skip


def request_of(item: Item, asking: Asking, put: Put) -> Request:
    """What is asked for an item of one turn, or for the first turn."""
    return asking.chat(item) if put == "chat" else asking.completion(item, put == "plain")


def _answer(reply: Reply, item: Item, asked: Asked, text: str, error: str = "") -> Answer:
    return Answer(
        _identity(item, asked),
        item.question.id,
        asked.arm,
        asked.checkpoint,
        asked.condition,
        text,
        reply.finish_reason,
        reply.prompt_tokens,
        reply.completion_tokens,
        reply.key,
        error,
    )


def _identity(item: Item, asked: Asked) -> str:
    return content_id(item.question.id, asked.arm, asked.checkpoint, asked.condition)
