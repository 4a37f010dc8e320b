"""The SQLite file of the request cache: group commit, several threads, several processes."""

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from teichaku.core.errors import UserError

_GROUP_SECONDS = 0.05
_GROUP_ROWS = 256
_BUSY_SECONDS = 60.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, identity TEXT NOT NULL, text TEXT NOT NULL,
    finish_reason TEXT NOT NULL, prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL, created REAL NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS speeds (
    identity TEXT NOT NULL, completion_tokens INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL, seconds REAL NOT NULL, created REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS speeds_of ON speeds (identity, created);
"""
_INSERT = "INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?, ?, ?)"
_FOUND = "SELECT text, finish_reason, prompt_tokens, completion_tokens FROM replies WHERE key = ?"


class ReplyStore:
    """The connection to the file at ``path``, the rows that wait for their group, and the thread
    that writes them. Every method raises ``UserError`` where the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._awake = threading.Event()
        self._waiting: dict[str, tuple[Any, ...]] = {}
        self._failure: UserError | None = None
        self._closed = False
        self._written = 0.0
        self._connection = self._guarded(self._connect)
        self._thread = threading.Thread(target=self._write_groups, name="request-cache")
        self._thread.daemon = True
        self._thread.start()

    def find(self, key: str) -> tuple[Any, ...] | None:
        """Text, finish reason, prompt and completion tokens of a reply, if it is here."""
        with self._lock:
            waiting = self._waiting.get(key)
            if waiting is not None:
                return waiting[1:5]
            found: tuple[Any, ...] | None = self._guarded(
                lambda: self._connection.execute(_FOUND, (key,)).fetchone()
            )
            return found

    def add(self, key: str, row: tuple[Any, ...]) -> None:
        """Write a row, at once or with the next group."""
        with self._lock:
            self._raise_failure()
            self._waiting[key] = row
            # Slow replies are written one by one, fast ones in groups.
            alone = time.monotonic() - self._written >= _GROUP_SECONDS
            if alone or len(self._waiting) >= _GROUP_ROWS:
                self._write()
            else:
                self._awake.set()

    def flush(self) -> None:
        """Write all rows that wait."""
        with self._lock:
            self._raise_failure()
            self._write()

    def execute(self, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """Run one statement; its rows."""
        with self._lock:
            rows: list[tuple[Any, ...]] = self._guarded(
                lambda: self._connection.execute(statement, values).fetchall()
            )
            return rows

    def close(self) -> None:
        """Write all rows that wait and close the file."""
        with self._lock:
            self._closed = True
        self._awake.set()
        self._thread.join()
        try:
            self.flush()
        finally:
            self._connection.close()

    def _write_groups(self) -> None:
        """Body of the thread: one transaction for all that came within a moment."""
        while not self._closed:
            self._awake.wait()
            time.sleep(_GROUP_SECONDS)
            self._awake.clear()
            with self._lock:
                try:
                    self._write()
                except UserError as failure:
                    # The rows stay in memory; whoever stores or flushes next is told.
                    self._failure = failure

    def _write(self) -> None:
        if self._waiting:
            rows = [(key, *row) for key, row in self._waiting.items()]
            self._guarded(lambda: self._commit(rows))
            self._waiting.clear()
            self._written = time.monotonic()

    def _commit(self, rows: list[tuple[Any, ...]]) -> None:
        # The context manager commits, and rolls back where anything fails.
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(_INSERT, rows)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def _connect(self) -> sqlite3.Connection:
        from filelock import FileLock

        # Two processes that turn on write-ahead mode at once may both be refused, so they
        # take turns; afterwards SQLite's own waiting is enough.
        with FileLock(f"{self._path}.lock"):
            connection = sqlite3.connect(
                self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(_SCHEMA)
        return connection

    def _guarded(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except sqlite3.OperationalError as error:
            raise UserError(
                f"The request cache {self._path} cannot be used: {error}.",
                "Make room on the disk, check who may write there, or set TEICHAKU_HOME to "
                "another folder; then run again: what was stored is kept.",
            ) from error
        except sqlite3.DatabaseError as error:
            raise UserError(
                f"The request cache {self._path} is damaged or no cache at all: {error}.",
                "Move the file away (and those beside it that end in -wal and -shm) and run "
                "again; what it held will be asked for once more.",
            ) from error
        except OSError as error:
            raise UserError(
                f"The request cache {self._path} cannot be opened: {error.strerror or error}.",
                "Check who may write there, or set TEICHAKU_HOME to another folder.",
            ) from error
