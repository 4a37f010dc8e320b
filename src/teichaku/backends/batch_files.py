"""A model that is asked by files, in OpenAI's batch format: for half the price, and overnight.

A line of ``requests-NNN.jsonl`` is one request, under its key in the request cache; every other
``.jsonl`` file in the folder holds outputs or errors, in any order. What is there is taken in
first, so the same command goes on wherever it stopped. Files hold at most 50,000 requests and
200 MB, which is what OpenAI takes; ``vllm run-batch`` reads and writes the same format.

A request whose reply failed is handed on as failed and asked for again by the next run; the
outputs that said so stay as ``NAME.jsonl.taken``.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

import orjson

from teichaku.backends.cache import request_key
from teichaku.backends.chat_completions import NoCompletionError, completion, request_body
from teichaku.backends.http import http_identity, words_for_schema
from teichaku.backends.http_answers import is_final
from teichaku.core.errors import UserError
from teichaku.core.prompts import Prompt
from teichaku.core.records import Reply, Request
from teichaku.core.run_folder import unwritable, write_aside

ENDPOINT = "/v1/chat/completions"
MOST_REQUESTS, MOST_BYTES = 50_000, 200_000_000
_STATE, _ASIDE = "batches.json", ".requests.part"
_LONGEST_SHOWN = 200


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """How far the server is with a file of requests; ``output_ids`` are the files to fetch."""

    state: str
    total: int = 0
    completed: int = 0
    failed: int = 0
    output_ids: tuple[str, ...] = ()
    message: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.state in {"completed", "failed", "expired", "cancelled"}


class BatchService(Protocol):
    """Where files of requests are brought to. Every method raises ``UserError`` where the
    service cannot be reached or refuses.
    """

    def submit(self, path: Path) -> str:
        """Hand in a file of requests; the id of its batch."""
        ...

    def status(self, batch_id: str) -> BatchStatus:
        """How far a batch is."""
        ...

    def download(self, file_id: str, path: Path) -> None:
        """Put a file of outputs or errors at ``path``, whole or not at all."""
        ...


class BatchFileModel:
    """The model ``model`` at ``base_url``, asked through files in ``folder``.

    Without a ``service`` the files are carried by hand: ``generate`` ends with ``UserError``
    that says what was written where. With one they are handed in, looked after every
    ``poll_seconds``, of which ``on_progress`` is told, and fetched. The identity is that of
    ``HttpModel`` with the same settings, so both share replies.
    """

    hands_on_replies = True

    def __init__(  # noqa: PLR0913 - these are the fields of a recipe's teacher
        self,
        folder: Path,
        base_url: str,
        model: str,
        *,
        structured: Literal["auto", "json_schema", "prompt"] = "auto",
        as_json: Prompt | None = None,
        extra: Mapping[str, Any] | None = None,
        service: BatchService | None = None,
        poll_seconds: float = 30.0,
        on_progress: Callable[[str, BatchStatus], None] = lambda name, status: None,
    ) -> None:
        how = words_for_schema(structured, as_json) or structured
        self.identity = http_identity(base_url, model, extra or {}, how)
        self._folder = folder
        self._model = model
        self._as_json = as_json if structured == "prompt" else None
        self._extra = dict(extra or {})
        self._service = service
        self._poll_seconds = poll_seconds
        self._on_progress = on_progress

    def generate(self, requests: Iterable[Request | Reply | None]) -> Iterator[Reply]:
        """Answer what the folder has an answer to; ask for the rest. See ``ChatModel``.

        Raises ``UserError`` where requests are left that must be carried to a service, and
        where a service refuses a whole file.
        """
        folder = _Folder(self._folder, self._bodies)
        waiting: dict[str, list[Request]] = {}
        for request in requests:
            if request is None:
                if not waiting:
                    break
                yield from self._answers(folder, waiting)
            elif isinstance(request, Reply):
                yield request
            else:
                yield from self._first_look(folder, request, waiting)
        if waiting:
            yield from self._answers(folder, waiting)
        folder.close()

    def _first_look(
        self, folder: "_Folder", request: Request, waiting: dict[str, list[Request]]
    ) -> Iterator[Reply]:
        key = request_key(self.identity, request)
        if folder.answered(key):
            yield folder.reply(key, request)
            return
        try:
            if not folder.asked(key):
                folder.ask(key, request)
        except ValueError as error:
            yield Reply(request, "", error=str(error), final=True)
            return
        waiting.setdefault(key, []).append(request)

    def _answers(self, folder: "_Folder", waiting: dict[str, list[Request]]) -> Iterator[Reply]:
        """The replies to all that wait, where a service can be asked for them."""
        folder.finish_file()
        if self._service is None:
            raise _to_be_carried(folder, sum(map(len, waiting.values())))
        fetch(self._service, folder.path, self._poll_seconds, self._on_progress)
        folder.read()
        for key, requests in waiting.items():
            for request in requests:
                yield folder.reply(key, request)
        waiting.clear()

    def _bodies(self, request: Request) -> bytes:
        return request_body(self._model, request, self._extra, as_json=self._as_json)


def fetch(
    service: BatchService,
    folder: Path,
    poll_seconds: float,
    on_progress: Callable[[str, BatchStatus], None],
) -> None:
    """Hand in each file of requests in ``folder`` that was not handed in before, wait until
    all have ended, and put what came of them beside them.

    Raises ``UserError`` where the service refuses a whole file.
    """
    batches = _Batches(folder)
    for path in _request_files(folder):
        if path.name not in batches.ids:
            batches.submitted(path.name, service.submit(path))
    open_files = [name for name in batches.ids if name not in batches.ended]
    while open_files:
        for name in list(open_files):
            status = service.status(batches.ids[name])
            on_progress(name, status)
            if not status.ended:
                continue
            for number, file_id in enumerate(status.output_ids):
                number_of_file = Path(name).stem.partition("-")[2]
                service.download(file_id, folder / f"outputs-{number_of_file}-{number}.jsonl")
            batches.end(name, status.state)
            open_files.remove(name)
            if status.state == "failed" and not status.output_ids:
                batches.forget(name)
                raise UserError(
                    f"The batch service refuses {folder / name}: {status.message or 'no reason'}.",
                    "Mend the cause, or delete the file, and run again.",
                )
        if open_files:
            time.sleep(poll_seconds)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an output line begins, and whether it is a reply."""

    path: Path
    offset: int
    good: bool


class _Folder:
    """The files of requests and outputs in a folder: which request stands where."""

    def __init__(self, path: Path, body: Callable[[Request], bytes]) -> None:
        self.path = path
        self._body = body
        self._places: dict[str, _Place] = {}
        #: The keys in files of requests that may still be answered.
        self._asked: set[str] = set()
        self._handed_on: set[str] = set()
        self._file: BinaryIO | None = None
        self._count = self._size = 0
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(path, error) from error
        self.read()

    def read(self) -> None:
        """Look at all files anew."""
        ended = _Batches(self.path).ended
        self._asked = {
            key
            for path in _request_files(self.path)
            if path.name not in ended
            for key, _, _ in _lines(path)
        }
        self._places.clear()
        for path in _output_files(self.path):
            for key, offset, good in _lines(path):
                known = self._places.get(key)
                if known is None or good:
                    self._places[key] = _Place(path, offset, good)

    def answered(self, key: str) -> bool:
        """Whether there is a reply, or the word that there will be none."""
        return key in self._places

    def asked(self, key: str) -> bool:
        """Whether a file asks for it."""
        return key in self._asked

    def ask(self, key: str, request: Request) -> None:
        """Put a request into a file. Raises ``ValueError`` where it cannot be written."""
        line = b'{"custom_id":"%s","method":"POST","url":"%s","body":%s}\n' % (
            key.encode("ascii"),
            ENDPOINT.encode("ascii"),
            self._body(request),
        )
        if self._count >= MOST_REQUESTS or self._size + len(line) > MOST_BYTES:
            self.finish_file()
        aside = self.path / _ASIDE
        try:
            if self._file is None:
                self._file = aside.open("wb")
            self._file.write(line)
        except OSError as error:
            raise unwritable(aside, error) from error
        self._count += 1
        self._size += len(line)
        self._asked.add(key)

    def finish_file(self) -> None:
        """Give the file of the requests that were collected its name."""
        if self._file is None:
            return
        numbers = [int(path.stem.partition("-")[2]) for path in _request_files(self.path)]
        path = self.path / f"requests-{max(numbers, default=0) + 1:03}.jsonl"
        try:
            with self._file as file:
                file.flush()
                os.fsync(file.fileno())
            (self.path / _ASIDE).replace(path)
        except OSError as error:
            raise unwritable(path, error) from error
        self._file, self._count, self._size = None, 0, 0

    def reply(self, key: str, request: Request) -> Reply:
        """What the outputs say to a request."""
        place = self._places.get(key)
        if place is None:
            return Reply(request, "", error="The batch ended without a reply to this request.")
        with place.path.open("rb") as file:
            file.seek(place.offset)
            read = _read_output(request, file.readline())
        if not read.final:
            self._handed_on.add(key)
        return read

    def waiting_files(self) -> list[Path]:
        """The files of requests that still want an answer to something."""
        return [
            path
            for path in _request_files(self.path)
            if any(not self.answered(key) for key, _, _ in _lines(path))
        ]

    def close(self) -> None:
        """Take out what failed and was handed on, so that it is asked for again; a final failure
        stays where it is.
        """
        for path in _output_files(self.path):
            failed = {key for key, _, good in _lines(path) if not good and key in self._handed_on}
            if failed:
                write_aside(path.with_name(f"{path.name}.taken"), path.read_bytes())
                _take_out(path, failed)
                for requests in _request_files(self.path):
                    _take_out(requests, failed)


class _Batches:
    """Which files were handed in as which batch, kept in the folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _STATE
        content: Any = {}
        if self._path.exists():
            try:
                content = orjson.loads(self._path.read_bytes())
            except (OSError, orjson.JSONDecodeError) as error:
                raise self._unreadable(str(error)) from error
        self.ids = self._texts(content, "ids")
        self.ended = self._texts(content, "ended")

    def _texts(self, content: Any, key: str) -> dict[str, str]:
        found = content.get(key, {}) if isinstance(content, dict) else None
        if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
            raise self._unreadable(f"it has no object '{key}' of file names and texts")
        return found

    def _unreadable(self, why: str) -> UserError:
        return UserError(
            f"{self._path} cannot be read: {why}.",
            "Delete it to hand in all files of requests once more.",
        )

    def submitted(self, name: str, batch_id: str) -> None:
        self.ids[name] = batch_id
        self._write()

    def end(self, name: str, state: str) -> None:
        self.ended[name] = state
        self._write()

    def forget(self, name: str) -> None:
        del self.ids[name], self.ended[name]
        self._write()

    def _write(self) -> None:
        write_aside(self._path, orjson.dumps({"ids": self.ids, "ended": self.ended}))


def _take_out(path: Path, keys: set[str]) -> None:
    """Leave the lines with ``keys`` out of a file; no file is left where no line is."""
    with path.open("rb") as file:
        kept = [line for line in file if _key_of(line) not in keys]
    if kept:
        write_aside(path, b"".join(kept))
    else:
        path.unlink()


def _request_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("requests-[0-9]*.jsonl"))


def _output_files(folder: Path) -> list[Path]:
    return sorted(set(folder.glob("*.jsonl")) - set(_request_files(folder)))


def _lines(path: Path) -> Iterator[tuple[str, int, bool]]:
    """Key, offset and goodness of each line of a file; what is no line of a batch is left out,
    such as the end of a file that is still being copied.
    """
    with path.open("rb") as file:
        offset = 0
        for line in file:
            key = _key_of(line)
            if key:
                yield key, offset, _is_reply(line)
            offset += len(line)


def _key_of(line: bytes) -> str:
    """The key of the request that a line asks or answers; empty where it does neither."""
    try:
        key = orjson.loads(line)["custom_id"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""
    return key if isinstance(key, str) else ""


def _is_reply(line: bytes) -> bool:
    try:
        output = orjson.loads(line)
        return not output.get("error") and output["response"]["status_code"] == 200
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        return False


def _read_output(request: Request, line: bytes) -> Reply:
    """The reply in a line of outputs or errors."""
    output = orjson.loads(line)
    response = output.get("response") or {}
    if not isinstance(response, dict):
        wrong = f"the response in its line is no object: {str(response)[:_LONGEST_SHOWN]!r}"
        return Reply(request, "", error=f"batch: {output.get('error') or wrong}")
    body = response.get("body")
    if _is_reply(line):
        try:
            return completion(request, body)
        except NoCompletionError as error:
            return Reply(request, "", error=f"batch: {error}")
    said = output.get("error") or (body.get("error") if isinstance(body, dict) else body) or body
    if isinstance(said, dict):
        said = said.get("message") or said.get("code") or said
    given = response.get("status_code")
    status = given if isinstance(given, int) else 0
    text = f"batch: {f'HTTP {status}: ' if status else ''}{said}"
    return Reply(request, "", error=text, final=is_final(status, str(said)))


def _to_be_carried(folder: _Folder, waiting: int) -> UserError:
    names = ", ".join(path.name for path in folder.waiting_files())
    return UserError(
        f"{waiting} requests wait for their replies in {folder.path}: {names}.",
        "Hand these files to a batch service, put the files with its outputs (and errors) into "
        "the same folder, as .jsonl under any other name, and run the same command again. For "
        "vLLM: vllm run-batch -i requests-001.jsonl -o outputs-001.jsonl --model NAME. To have "
        "requests of a lost file written again, delete that file.",
    )
