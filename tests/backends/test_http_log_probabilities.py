import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages import natural_text, texts
from teichaku.backends.http_limits import RetryDelays
from teichaku.backends.http_log_probabilities import (
    HttpLanguageModel,
    NoScoresError,
    places,
    scores_of,
)
from teichaku.core.errors import UserError
from teichaku.core.models import ScoredText, TokenScores

NO_WAIT = RetryDelays(first=0.001, longest=0.002, longest_asked=0.01)
Answer = tuple[int, Any]


def pieces_of(text: str) -> list[str]:
    """Two characters a token, after one that begins every text."""
    return ["<bos>", *(text[at : at + 2] for at in range(0, len(text), 2))]


def echoed(body: dict[str, Any]) -> Answer:
    pieces = pieces_of(body["prompt"])
    values = [
        None,
        *(-float(len(pieces[at - 1]) + ord(pieces[at][0]) % 7) for at in range(1, len(pieces))),
    ]
    assert body["echo"] is True
    choice = {"tokens": [*pieces, "次"], "token_logprobs": [*values, -9.0]}
    usage = {"prompt_tokens": len(pieces), "completion_tokens": 1}
    return 200, {"choices": [{"logprobs": choice}], "usage": usage}


class Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """A caller who hangs up is no news."""


class Server:
    """A completions server with ``behaviour``; ``bodies`` are what it was sent."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.behaviour: Callable[[dict[str, Any]], Answer] = echoed
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.bodies.append(body)
                outer.keys.append(self.headers["Authorization"])
                status, content = (
                    outer.behaviour(body) if self.path == "/v1/completions" else (404, {})
                )
                data = orjson.dumps(content)
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"

    def score(self, *asked: ScoredText, **settings: Any) -> list[TokenScores]:
        model = HttpLanguageModel(self.base_url, "tiny", **{"delays": NO_WAIT, **settings})
        return list(model.token_log_probabilities(asked))


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    thread = threading.Thread(target=started.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield started
    started.http.shutdown()
    thread.join()
    started.http.server_close()


def test_the_tokens_of_the_text_are_scored_in_the_order_of_the_texts(server: Server) -> None:
    asked = [ScoredText("船は檜" * at, "答：あ"[: at % 4]) for at in range(1, 30)]
    found = server.score(*asked, max_concurrency=4)
    assert len(found) == len(asked)
    for one, scores in zip(asked, found, strict=True):
        _, content = echoed({"prompt": one.context + one.text, "echo": True})
        values = content["choices"][0]["logprobs"]["token_logprobs"][:-1]
        # A token of two characters that holds one of the context counts to the text.
        expected = values[1 + len(one.context) // 2 :]
        np.testing.assert_allclose(scores.log_probabilities, expected)
        assert scores.log_probabilities.dtype == np.float32
        assert (scores.start, scores.end, scores.error) == (0, len(one.text), "")
        assert scores.means is None


def test_an_empty_text_is_not_sent(server: Server) -> None:
    (found,) = server.score(ScoredText("", "問い"))
    assert len(found.log_probabilities) == 0
    assert not found.error
    assert not server.bodies


def test_the_key_goes_into_the_header_and_extra_fields_into_the_body(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", "secret-secret-secret")
    server.score(ScoredText("船"), api_key_env="A_KEY", extra={"add_special_tokens": False})
    assert server.keys == ["Bearer secret-secret-secret"]
    assert server.bodies[0]["add_special_tokens"] is False
    assert server.bodies[0]["prompt"] == "船"


def test_a_busy_server_is_asked_again_and_a_refusal_is_final(server: Server) -> None:
    busy: Iterator[Answer] = iter([(503, {}), (429, {}), (500, {})])
    server.behaviour = lambda body: next(busy, None) or echoed(body)
    (found,) = server.score(ScoredText("船"))
    assert not found.error
    assert len(server.bodies) == 4

    too_long = {"error": {"message": "maximum context length is 8 tokens"}}
    server.behaviour = lambda body: (400, too_long) if len(body["prompt"]) > 9 else echoed(body)
    refused, fine = server.score(ScoredText("船" * 10), ScoredText("船"))
    assert "maximum context length is 8 tokens" in refused.error
    assert len(refused.log_probabilities) == 0
    assert not fine.error
    assert (refused.final, fine.final) == (True, False)
    assert len(server.bodies) == 6


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"choices": [{"text": "船", "logprobs": None}]}, "gives no log-probabilities"),
        (
            {"choices": [{"logprobs": {"tokens": ["次"], "token_logprobs": [-1.0]}}]},
            "what it wrote",
        ),
        (["no"], "gives no log-probabilities"),
    ],
)
def test_a_server_that_does_not_tell_is_named(server: Server, content: Any, said: str) -> None:
    server.behaviour = lambda body: (200, content)
    (found,) = server.score(ScoredText("船"))
    assert said in found.error
    assert server.base_url in found.error
    assert len(server.bodies) == 1


def test_a_server_that_is_away_is_not_waited_for_by_every_text() -> None:
    model = HttpLanguageModel("http://127.0.0.1:9/v1", "tiny", delays=NO_WAIT, max_concurrency=1)
    found = list(model.token_log_probabilities([ScoredText("船")] * 50))
    assert len(found) == 50
    assert all("cannot be reached" in one.error for one in found)


def test_a_caller_who_stops_leaves_nothing_running(server: Server) -> None:
    before = threading.active_count()
    model = HttpLanguageModel(server.base_url, "tiny", max_concurrency=2)
    stream = model.token_log_probabilities(ScoredText("船") for _ in range(100))
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert len(server.bodies) <= 4
    names = {thread.name for thread in threading.enumerate()}
    assert "http-json" not in names
    assert threading.active_count() <= before + 4


def test_a_server_that_tells_no_usage_is_read_all_the_same(server: Server) -> None:
    server.behaviour = lambda body: (200, {**echoed(body)[1], "usage": None})
    (found,) = server.score(ScoredText("船は檜"))
    assert not found.error
    assert len(found.log_probabilities) == 2


def test_an_address_that_is_none_is_refused() -> None:
    for url in ("localhost:8000", "ftp://x/v1", "http://me:word@x/v1"):
        with pytest.raises(UserError, match="base_url"):
            HttpLanguageModel(url, "tiny")


@given(texts, st.lists(st.integers(1, 4), max_size=200))
def test_whole_pieces_lie_end_to_end(whole: str, sizes: list[int]) -> None:
    whole = whole.replace("\ufffd", "")
    pieces, at = [], 0
    for size in [*sizes, *[1] * len(whole)]:
        pieces += [whole[at : at + size]] if at < len(whole) else []
        at += size
    ends = np.cumsum([len(piece) for piece in pieces]).tolist()
    assert places(pieces, whole) == list(zip([0, *ends], ends, strict=False))
    # So they do behind a token that begins every text.
    begun = places(["<|begin|>", *pieces], whole)
    assert begun[0] == (0, 0)
    assert begun[1:] == places(pieces, whole)


@given(natural_text)
def test_bytes_of_characters_have_the_places_of_their_characters(whole: str) -> None:
    """vLLM shows the bytes of a character as nothing, and the last as the whole of it."""
    pieces: list[str] = []
    expected = []
    for at, character in enumerate(whole):
        size = len(character.encode())
        pieces += [""] * (size - 1) + [character]
        expected += [(at, at + 1)] * size
    assert places(pieces, whole) == expected


def test_broken_characters_cover_what_lies_between_whole_tokens() -> None:
    # Four bytes of one character, as servers without that correction show them.
    assert places(["丼", "\ufffd", "\ufffd", "\ufffd", "\ufffd", "は"], "丼🍜は") == [
        (0, 1),
        *[(1, 2)] * 4,
        (2, 3),
    ]
    assert places(["は", "\ufffd", "\ufffd"], "は野") == [(0, 1), (1, 2), (1, 2)]
    # Not the first 野 but the one behind as many bytes as there are tokens.
    assert places(["\ufffd"] * 4 + ["野"], "野野野")[-1] == (2, 3)


def test_white_space_that_is_missing_in_a_token_is_its_own() -> None:
    assert places(["The", "boat", "."], "The boat.") == [(0, 3), (3, 8), (8, 9)]


def test_tokens_that_do_not_make_up_the_text_are_refused() -> None:
    for pieces in (["<s>", "船", "檜"], ["船"], ["船", "は", "松"]):
        with pytest.raises(NoScoresError):
            places(pieces, "船は檜")


def test_the_first_token_has_no_value_unless_something_stands_before_it() -> None:
    found = scores_of(["船は", "檜"], [None, -2.0], ScoredText("船は檜"))
    assert (found.log_probabilities.tolist(), found.start, found.end) == ([-2.0], 2, 3)
    found = scores_of(["<s>", "船は", "檜"], [None, -1.0, -2.0], ScoredText("船は檜"))
    assert (found.log_probabilities.tolist(), found.start, found.end) == ([-1.0, -2.0], 0, 3)
    with pytest.raises(NoScoresError, match="prefix cache"):
        scores_of(["<s>", "船は", "檜"], [None, None, -2.0], ScoredText("船は檜"))
    # What was left out before the text is not missed.
    scores_of(["<s>", "船は", "檜"], [None, None, -2.0], ScoredText("檜", "船は"))
