import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from types import MappingProxyType

import pytest

from teichaku.backends.cache import CachedModel, RequestCache, request_key
from teichaku.core.errors import UserError
from teichaku.core.records import Message, Reply, Request, Sampling

REQUEST = Request((Message("user", "都はどこか。"),))


def ask(text: str, sample_index: int = 0, subject: object = None) -> Request:
    return Request((Message("user", text),), sample_index=sample_index, subject=subject)


class EchoModel:
    """Answers with what it is asked; fails where that starts with ``bad``."""

    identity = "echo#1"

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()

    def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        for request in requests:
            if request is None:
                return
            text = request.messages[-1].content
            self.sent[text] += 1
            if text.startswith("bad"):
                yield Reply(request, "", error="no luck")
            else:
                yield Reply(request, f"{text}!", "stop", 3, 2)


class GatheringModel(EchoModel):
    """Pulls all requests that it can have before it answers, the last first."""

    def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        waiting = iter(requests)
        while gathered := list(takewhile(lambda request: request is not None, waiting)):
            yield from super().generate(reversed(gathered))


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[RequestCache]:
    with RequestCache(tmp_path / "requests.sqlite") as opened:
        yield opened


CHANGED = [
    ask("都はどこか?"),
    ask("都はどこか。", sample_index=1),
    replace(REQUEST, messages=(Message("system", "都はどこか。"),)),
    replace(REQUEST, schema={"type": "object"}),
    replace(REQUEST, schema={"type": "object", "properties": {"a": {}, "b": {}}}),
    replace(REQUEST, schema={"type": "object", "properties": {"b": {}, "a": {}}}),
    replace(REQUEST, sampling=Sampling(temperature=0.5)),
    replace(REQUEST, sampling=Sampling(top_p=0.5)),
    replace(REQUEST, sampling=Sampling(max_tokens=9)),
    replace(REQUEST, sampling=Sampling(seed=9)),
    replace(REQUEST, sampling=Sampling(stop=("\n",))),
    replace(REQUEST, plain=True),
    replace(REQUEST, several_lines=True),
]


@pytest.mark.parametrize("other", CHANGED)
def test_whatever_may_change_the_reply_changes_the_key(other: Request) -> None:
    others = [REQUEST, *(request for request in CHANGED if request is not other)]
    assert request_key("model", other) not in {request_key("model", each) for each in others}


def test_another_model_has_other_keys() -> None:
    assert request_key("model", REQUEST) != request_key("model with an adapter", REQUEST)


def test_prompt_name_and_subject_are_no_part_of_the_key() -> None:
    named = replace(REQUEST, prompt="ja/x@2", subject=object())
    assert request_key("model", named) == request_key("model", REQUEST)


def test_equal_requests_have_equal_keys_however_they_are_written() -> None:
    written = replace(
        REQUEST,
        schema={"type": "object", "required": ["a"]},
        sampling=Sampling(temperature=0),
    )
    same = replace(REQUEST, schema=MappingProxyType({"type": "object", "required": ["a"]}))
    assert request_key("model", written) == request_key("model", same)


def test_keys_are_those_that_users_have_on_their_disks() -> None:
    rich = Request(
        (Message("system", "短く。"), Message("user", "都は\ud800「どこ」か\n😀")),
        Sampling(0.7, 0.9, 33, 5, ("。", "\n"), 1),
        schema=MappingProxyType({"type": "object", "properties": {"b": {}, "a": {"enum": ["あ"]}}}),
        sample_index=3,
    )
    keys = [request_key("http:http://localhost:8000/v1#m", one) for one in (REQUEST, rich)]
    assert keys == [
        "929e1aa159bc4fe5f7484bc21f05557bd31cbe47399689880005b44106f41875",
        "b79554cf166dacefef46043d6aa362a4310ab36e220a166ed819a8561f68ec02",
    ]


def test_a_text_with_a_lone_surrogate_has_a_key() -> None:
    assert request_key("model", ask("\ud800")) != request_key("model", ask("\ud801"))


def test_a_reply_is_asked_for_once_and_comes_back_with_key_and_subject(tmp_path: Path) -> None:
    path, model = tmp_path / "requests.sqlite", EchoModel()
    with RequestCache(path) as cache:
        (first,) = CachedModel(model, cache).generate([ask("何", subject=1)])
    with RequestCache(path) as cache:
        (second,) = CachedModel(model, cache).generate([ask("何", subject=2)])
    assert model.sent == {"何": 1}
    assert (first.cached, second.cached) == (False, True)
    assert first.key == second.key == request_key(model.identity, ask("何"))
    assert (first.request.subject, second.request.subject) == (1, 2)
    assert replace(second, request=first.request, cached=False) == first


def test_a_failed_reply_is_handed_on_and_tried_again_later(cache: RequestCache) -> None:
    model = EchoModel()
    cached = CachedModel(model, cache)
    (reply,) = cached.generate([ask("bad")])
    assert (reply.error, reply.key) == ("no luck", request_key(model.identity, ask("bad")))
    list(cached.generate([ask("bad")]))
    assert model.sent["bad"] == 2


@pytest.mark.parametrize("model", [EchoModel(), GatheringModel()])
def test_every_request_is_answered_once_whatever_is_stored_or_equal(
    cache: RequestCache, model: EchoModel
) -> None:
    texts = [f"{'bad' if n % 7 == 0 else 'good'} {n % 300}" for n in range(3000)]
    cached = CachedModel(model, cache)
    list(cached.generate(ask(text) for text in texts[100:200]))
    model.sent.clear()
    replies = list(cached.generate(ask(text, subject=n) for n, text in enumerate(texts)))
    assert sorted(reply.request.subject for reply in replies) == list(range(3000))
    assert all(reply.text == f"{texts[reply.request.subject]}!" for reply in replies if reply.text)
    assert max(count for text, count in model.sent.items() if text.startswith("good")) == 1
    stored = {text for text in texts[100:200] if text.startswith("good")}
    assert not stored & model.sent.keys()


def test_equal_requests_in_flight_are_sent_once(cache: RequestCache) -> None:
    model = GatheringModel()
    replies = list(CachedModel(model, cache).generate([ask("a"), ask("b"), ask("a")]))
    assert model.sent == {"a": 1, "b": 1}
    assert sorted((reply.text, reply.cached) for reply in replies) == [
        ("a!", False),
        ("a!", True),
        ("b!", False),
    ]


def test_samples_of_one_prompt_are_all_sent(cache: RequestCache) -> None:
    model = GatheringModel()
    list(CachedModel(model, cache).generate([ask("a", 0), ask("a", 1)]))
    assert model.sent == {"a": 2}


def test_requests_are_pulled_as_they_are_needed(cache: RequestCache) -> None:
    pulled = 0

    def requests() -> Iterator[Request]:
        nonlocal pulled
        for number in range(100):
            pulled += 1
            yield ask(f"{number}")

    replies = CachedModel(EchoModel(), cache).generate(requests())
    for expected in range(1, 100):
        next(replies)
        assert pulled == expected


def test_many_stored_replies_do_not_wait_for_a_slow_one(cache: RequestCache) -> None:
    cached = CachedModel(GatheringModel(), cache)
    list(cached.generate(ask(f"{number}") for number in range(3000)))
    pulled = 0

    def requests() -> Iterator[Request]:
        nonlocal pulled
        for text in ["new", *map(str, range(3000)), "last"]:
            pulled += 1
            yield ask(text)

    replies = cached.generate(requests())
    assert next(replies).text == "new!"
    assert pulled < 1100
    assert sum(1 for _ in replies) == 3001


class HandsOnModel(GatheringModel):
    """Hands on replies at once, and answers when it gets no more requests."""

    hands_on_replies = True

    def generate(self, requests: Iterable[Request | Reply | None]) -> Iterator[Reply]:
        gathered: list[Request | None] = []
        for request in requests:
            if isinstance(request, Reply):
                yield request
            elif request is None:
                yield from EchoModel.generate(self, gathered)
                gathered = []
            else:
                gathered.append(request)
        yield from EchoModel.generate(self, gathered)


def test_a_stored_reply_does_not_wait_for_a_model_that_hands_on_replies(
    cache: RequestCache,
) -> None:
    texts = ["slow", *map(str, range(3000)), "slow too"]
    list(CachedModel(EchoModel(), cache).generate(ask(text) for text in texts[1:-1]))
    replies = list(CachedModel(HandsOnModel(), cache).generate(ask(text) for text in texts))
    assert [reply.text for reply in replies[-2:]] == ["slow!", "slow too!"]
    assert sorted(reply.text for reply in replies) == sorted(f"{text}!" for text in texts)


def test_a_stored_reply_comes_out_while_the_model_has_nothing_to_do(cache: RequestCache) -> None:
    """It comes before the next request is even pulled, though the model asks for more."""
    cached = CachedModel(EchoModel(), cache)
    list(cached.generate([ask("stored")]))
    seen: list[str] = []

    def requests() -> Iterator[Request]:
        yield ask("new")
        yield ask("stored")
        assert seen == ["new!", "stored!"]
        yield ask("last")

    for reply in cached.generate(requests()):
        seen.append(reply.text)
    assert seen == ["new!", "stored!", "last!"]


@pytest.mark.parametrize("model", [EchoModel(), GatheringModel(), HandsOnModel()])
@pytest.mark.parametrize("stored", ["", "0", "02", "1", "012345"])
def test_requests_that_wait_for_replies_go_on_from_stored_and_from_new_ones(
    cache: RequestCache, model: EchoModel, stored: str
) -> None:
    def text(step: int) -> str:
        return f"{step}" + "!" * step

    cached = CachedModel(model, cache)
    list(cached.generate(ask(text(int(step))) for step in stored))
    seen: list[str] = []

    def requests() -> Iterator[Request | None]:
        yield ask(text(0))
        for step in range(1, 6):
            while len(seen) < step:
                yield None
            yield ask(text(step))

    for reply in cached.generate(requests()):
        seen.append(reply.text)
    assert seen == [text(step) + "!" for step in range(6)]


def test_a_stream_ends_at_none_when_nothing_is_on_its_way(cache: RequestCache) -> None:
    pulled: list[Request | None] = []

    def requests() -> Iterator[Request | None]:
        for request in (None, ask("never")):
            pulled.append(request)
            yield request

    assert list(CachedModel(EchoModel(), cache).generate(requests())) == []
    assert pulled == [None]


def test_a_reply_that_bears_an_equal_request_is_known_as_well(cache: RequestCache) -> None:
    class Copying(EchoModel):
        def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
            for reply in super().generate(requests):
                yield replace(reply, request=replace(reply.request))

    replies = list(CachedModel(Copying(), cache).generate(ask(str(n)) for n in range(20)))
    assert [reply.text for reply in replies] == [f"{n}!" for n in range(20)]
    assert [reply.key for reply in replies] == [
        request_key("echo#1", ask(str(n))) for n in range(20)
    ]


def test_a_request_that_the_model_forgets_comes_back_as_an_error(cache: RequestCache) -> None:
    class Forgetful(EchoModel):
        def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
            replies = super().generate(requests)
            return (reply for reply in replies if reply.text != "b!")

    replies = list(CachedModel(Forgetful(), cache).generate([ask("a"), ask("b"), ask("c")]))
    assert [(reply.text, bool(reply.error)) for reply in replies] == [
        ("a!", False),
        ("c!", False),
        ("", True),
    ]


def test_stopping_to_take_replies_stops_the_model(cache: RequestCache) -> None:
    class Watched(EchoModel):
        def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
            self.stream = super().generate(requests)
            return self.stream

    model = Watched()
    replies = CachedModel(model, cache).generate(ask(str(number)) for number in range(9))
    next(replies)
    replies.close()  # type: ignore[attr-defined]
    assert list(model.stream) == []
    assert sum(model.sent.values()) == 1


def test_missing_requests_are_counted_once_each(cache: RequestCache) -> None:
    list(CachedModel(EchoModel(), cache).generate([ask("a")]))
    assert cache.count_missing("echo#1", [ask("a"), ask("b"), ask("b"), ask("c")]) == 2
    assert cache.count_missing("another", [ask("a")]) == 1


def test_speed_is_tokens_over_seconds_of_the_last_streams(cache: RequestCache) -> None:
    assert cache.speed("m") is None
    cache.record_speed("m", 100, 5, 50.0)
    cache.record_speed("m", 100, 5, 10.0)
    assert cache.speed("m") == pytest.approx(200 / 60)
    for _ in range(8):
        cache.record_speed("m", 30, 5, 1.0)
    assert cache.speed("m") == pytest.approx(30)


def test_the_pace_counts_what_was_read_for_a_tenth(cache: RequestCache) -> None:
    assert cache.pace("model-a") is None
    cache.record_speed("model-a", 100, 1000, 4.0)
    cache.record_speed("model-a", 0, 2000, 4.0)
    assert cache.speed("model-a") == 100 / 8
    assert cache.pace("model-a") == 400 / 8
    assert cache.pace("model-b") is None


def test_a_stream_records_the_speed_of_its_model(cache: RequestCache) -> None:
    list(CachedModel(EchoModel(), cache).generate([ask("a")]))
    measured = cache.speed("echo#1")
    assert measured is not None
    assert measured > 0
    list(CachedModel(EchoModel(), cache).generate([ask("a")]))
    assert cache.speed("echo#1") == measured


def test_threads_and_processes_share_the_file(tmp_path: Path) -> None:
    path = tmp_path / "requests.sqlite"
    with ThreadPoolExecutor(8) as pool:
        caches = list(pool.map(lambda _: RequestCache(path), range(8)))

        def work(number: int) -> list[Reply]:
            model = CachedModel(EchoModel(), caches[number % 8])
            return list(model.generate(ask(str(n)) for n in range(number, number + 40)))

        assert all(len(replies) == 40 for replies in pool.map(work, range(16)))
    for cache in caches:
        cache.close()
    assert stored_keys(path) == {request_key("echo#1", ask(str(n))) for n in range(55)}


WRITER = """
import sys
from pathlib import Path
from teichaku.backends.cache import Charge, RequestCache
from teichaku.core.records import Message, Reply, Request
cache = RequestCache(Path(sys.argv[1]))
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    request = Request((Message("user", str(number)),))
    reply = Reply(request, "文" * 500, "stop", 1, 1)
    cache.put(f"{number:064}", "writer", reply, Charge("run", 2, 0.5))
    cache.put_numbers("writer", {f"{number:063}{end}": bytes(999) for end in "ab"})
    if number % 97 == 0:
        cache.flush()
        print(number, flush=True)
"""


def writer(path: Path, first: int, last: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", WRITER, str(path), str(first), str(last)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def stored_keys(path: Path, table: str = "replies") -> set[str]:
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return {key for (key,) in connection.execute(f"SELECT key FROM {table}")}
    finally:
        connection.close()


def test_what_was_flushed_survives_kill_at_any_moment(tmp_path: Path) -> None:
    path, chosen, told = tmp_path / "requests.sqlite", random.Random(0), set[int]()
    for start in range(0, 5_000_000, 1_000_000):
        process = writer(path, start, start + 1_000_000)
        assert process.stdout is not None
        for _ in range(chosen.randrange(1, 12)):
            told.add(int(process.stdout.readline()))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    stored = stored_keys(path)
    assert {f"{number:064}" for number in told} <= stored
    numbers = stored_keys(path, "numbers")
    assert {f"{number:063}{end}" for number in told for end in "ab"} <= numbers
    with RequestCache(path) as cache:
        assert cache.spent("run") == (2 * len(stored), 0.5 * len(stored))


def test_a_process_that_ends_leaves_nothing_unwritten(tmp_path: Path) -> None:
    path = tmp_path / "requests.sqlite"
    processes = [writer(path, start, start + 333) for start in (0, 200, 1000)]
    errors = [process.communicate()[1] for process in processes]
    assert errors == ["", "", ""]
    assert len(stored_keys(path)) == 533 + 333
    assert len(stored_keys(path, "numbers")) == 2 * (533 + 333)


def test_a_reply_is_on_the_disk_soon_without_any_call(tmp_path: Path) -> None:
    path = tmp_path / "requests.sqlite"
    with RequestCache(path) as cache, RequestCache(path) as other:
        cache.put("first", "m", Reply(REQUEST, "いいえ", "stop", 1, 2))
        cache.put("k", "m", Reply(REQUEST, "はい", "stop", 1, 2))
        for _ in range(100_000):
            found = other.get("k")
            if found is not None:
                break
        assert found is not None
        assert found.text == "はい"


def test_a_reply_that_comes_alone_is_on_the_disk_before_it_is_handed_on(tmp_path: Path) -> None:
    path = tmp_path / "requests.sqlite"
    with RequestCache(path) as cache, RequestCache(path) as other:
        reply = next(CachedModel(EchoModel(), cache).generate([ask("a"), ask("b")]))
        assert other.get(reply.key) is not None


@pytest.mark.parametrize("content", [b"no database " * 400, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_cache_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "requests.sqlite"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"requests\.sqlite is damaged") as caught:
        RequestCache(path)
    assert "Move the file away" in caught.value.hint
    assert path.read_bytes() == content


def test_a_file_with_a_damaged_page_is_named(tmp_path: Path) -> None:
    path = tmp_path / "requests.sqlite"
    process = writer(path, 0, 400)
    assert process.communicate()[1] == ""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096 * 4)
        file.write(b"\xaa" * (size - 4096 * 4))
    with RequestCache(path) as cache, pytest.raises(UserError, match="damaged"):
        for number in range(400):
            cache.get(f"{number:064}")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="TEICHAKU_HOME"):
        RequestCache(tmp_path / "file" / "requests.sqlite")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "requests.sqlite").mkdir()
    with pytest.raises(UserError, match="cannot be used"):
        RequestCache(tmp_path / "requests.sqlite")


FULL_DISK = """
import resource, sys
from pathlib import Path
from teichaku.backends.cache import RequestCache
from teichaku.core.errors import UserError
from teichaku.core.records import Message, Reply, Request
cache = RequestCache(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
request = Request((Message("user", "x"),))
try:
    for number in range(1000):
        if sys.argv[2] == "replies":
            cache.put(str(number), "m", Reply(request, "x" * 9000))
        else:
            cache.put_numbers("m", {str(number): bytes(9000)})
    cache.close()
except UserError as error:
    print(error, flush=True)
    import os
    os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files as Linux does")
@pytest.mark.parametrize("table", ["replies", "numbers"])
def test_a_full_disk_is_said_plainly_and_what_was_stored_is_kept(
    tmp_path: Path, table: str
) -> None:
    path = tmp_path / "requests.sqlite"
    command = [sys.executable, "-c", FULL_DISK, str(path), table]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "cannot be used" in ended.stdout
    assert "Make room on the disk" in ended.stdout
    assert "Traceback" not in ended.stderr
    assert stored_keys(path, table)
