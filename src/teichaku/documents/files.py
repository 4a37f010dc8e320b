"""Which files the paths of a recipe name."""

import glob
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path


def find_files(paths: Sequence[str], root: Path) -> tuple[list[Path], list[str]]:
    """The files that ``paths`` name, each once and sorted, and the paths that name nothing.

    A path is a file, a folder (with all below it), or a glob (``**`` goes through folders);
    relative ones start at ``root``. Hidden files and folders are passed over unless a path
    names them itself.
    """
    found: set[Path] = set()
    missing: list[str] = []
    for path in dict.fromkeys(paths):
        start = _absolute(root / path)
        if os.path.lexists(start):
            matches = [start]
        else:
            # Path.glob refuses absolute patterns and does not pass over hidden files.
            named = glob.glob(path, root_dir=root, recursive=True)  # noqa: PTH207
            matches = [_absolute(root / match) for match in named]
        files = {file for match in matches for file in _below(match)}
        found |= files
        if not files:
            missing.append(path)
    return sorted(found), sorted(missing)


def _absolute(path: Path) -> Path:
    """``path`` from the root of the disk, without ``..``; links keep the name they have here."""
    return Path(os.path.normpath(path.absolute()))


def _below(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    # A folder that may not be listed stands for itself, so that it is told of.
    denied: list[Path] = []
    for folder, folders, files in os.walk(path, onerror=lambda e: denied.append(Path(e.filename))):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in files if not name.startswith("."))
    yield from denied


def name_from(path: Path, root: Path) -> str:
    """``path`` as a run names it: relative to ``root`` with slashes, absolute if outside."""
    start = _absolute(root)
    named = path.relative_to(start) if path.is_relative_to(start) else path
    return os.fsencode(named.as_posix()).decode("utf-8", "replace")


def hash_inputs(paths: Sequence[str], root: Path) -> dict[str, str]:
    """The SHA-256 of every file that ``paths`` name, by the name that a run gives it;
    ``unreadable`` stands for what cannot be read.
    """
    return {name_from(path, root): _hash(path) for path in find_files(paths, root)[0]}


def _hash(path: Path) -> str:
    if not path.is_file():
        return "unreadable"
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return "unreadable"
