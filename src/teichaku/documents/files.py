"""Which files the paths of a recipe name."""

import glob
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path


def find_files(paths: Sequence[str], root: Path) -> tuple[list[Path], list[str]]:
    """The files that ``paths`` name, each once and sorted, and the paths that name nothing.

    A path is a file, a folder (with all below it, but no folder twice, whatever links lead
    there), or a glob (``**`` goes through folders); relative ones start at ``root``. Hidden
    files and folders are passed over unless a path names them itself.
    """
    found: set[Path] = set()
    missing: list[str] = []
    for path in dict.fromkeys(paths):
        start = _absolute(root / path)
        if os.path.lexists(start):
            matches = [start]
        else:
            matches = [_absolute(match) for match in _expanded(Path(path), root)]
        files = {file for match in matches for file in _below(match)}
        found |= files
        if not files:
            missing.append(path)
    return sorted(found), sorted(missing)


def _absolute(path: Path) -> Path:
    """``path`` from the root of the disk, without ``..``; links keep the name they have here."""
    return Path(os.path.normpath(path.absolute()))


def _expanded(pattern: Path, root: Path) -> Iterator[Path]:
    """What a glob names. ``**`` is ours: that of the library goes round in circles of links."""
    if "**" not in pattern.parts:
        # Path.glob refuses absolute patterns and does not pass over hidden files.
        yield from (root / match for match in glob.glob(str(pattern), root_dir=root))  # noqa: PTH207
        return
    place = pattern.parts.index("**")
    rest = Path(*pattern.parts[place + 1 :])
    for start in _expanded(Path(*pattern.parts[:place]), root) if place else [root]:
        for folder, files in _folders(start, []):
            yield from _expanded(rest, folder) if rest.parts else files


def _below(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    # A folder that may not be listed stands for itself, so that it is told of.
    denied: list[Path] = []
    for _, files in _folders(path, denied):
        yield from files
    yield from denied


def _folders(path: Path, denied: list[Path]) -> Iterator[tuple[Path, list[Path]]]:
    """The folders from ``path`` down, each once, with their files; ``denied`` takes the rest."""
    seen: set[str] = set()
    pending = [path]  # links wait, so that what they lead to keeps its own name
    while pending:
        start = pending.pop(0)
        for at, folders, files in os.walk(start, onerror=lambda e: denied.append(Path(e.filename))):
            place = os.path.realpath(at)
            if place in seen:
                folders.clear()
                continue
            seen.add(place)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            pending += [Path(at, name) for name in folders if Path(at, name).is_symlink()]
            yield Path(at), [Path(at, name) for name in files if not name.startswith(".")]


def name_from(path: Path, root: Path) -> str:
    """``path`` as a run names it: relative to ``root`` with slashes, absolute if outside."""
    start = _absolute(root)
    named = path.relative_to(start) if path.is_relative_to(start) else path
    return "/".join(map(printable, named.as_posix().split("/")))


def printable(name: str) -> str:
    """The name of a file as text; names that are no UTF-8 come from ZIP files of Windows."""
    data = os.fsencode(name)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp932", "replace")


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
