"""So many of something, in words: what a stage counts, in the language of the interface."""

from collections.abc import Callable

from teichaku.core.locale import translate

#: Says so many of something: ``1 document``, ``4 documents``.
Unit = Callable[[int], str]


def counted(count: int, one: str, many: str) -> str:
    """``one`` or ``many`` in the language of the interface, with its ``{count}``."""
    return translate(one if count == 1 else many).format(count=count)


def requests(count: int) -> str:
    """Of a model."""
    return counted(count, "{count} request", "{count} requests")


def documents(count: int) -> str:
    """Files, or rows of tables."""
    return counted(count, "{count} document", "{count} documents")


def passages(count: int) -> str:
    """Of documents."""
    return counted(count, "{count} passage", "{count} passages")


def examples(count: int) -> str:
    """To train on."""
    return counted(count, "{count} example", "{count} examples")


def questions(count: int) -> str:
    """To ask."""
    return counted(count, "{count} question", "{count} questions")


def answers(count: int) -> str:
    """Of models."""
    return counted(count, "{count} answer", "{count} answers")


def pairs(count: int) -> str:
    """Of answers."""
    return counted(count, "{count} pair", "{count} pairs")


def items(count: int) -> str:
    """Of benchmarks."""
    return counted(count, "{count} item", "{count} items")


def sets(count: int) -> str:
    """Of items."""
    return counted(count, "{count} set", "{count} sets")


def steps(count: int) -> str:
    """Of training."""
    return counted(count, "{count} step", "{count} steps")


def tokens(count: int) -> str:
    """Read or written."""
    return counted(count, "{count} token", "{count} tokens")


def texts(count: int) -> str:
    """Of any kind."""
    return counted(count, "{count} text", "{count} texts")


def scores(count: int) -> str:
    """Of texts."""
    return counted(count, "{count} score", "{count} scores")


def rows(count: int) -> str:
    """Of files."""
    return counted(count, "{count} row", "{count} rows")


def models(count: int) -> str:
    """That are asked."""
    return counted(count, "{count} model", "{count} models")


def conditions(count: int) -> str:
    """Under which they are asked."""
    return counted(count, "{count} condition", "{count} conditions")


def checkpoints(count: int) -> str:
    """Of a model that was trained."""
    return counted(count, "{count} checkpoint", "{count} checkpoints")
