"""Models by name: packaged ones, those of the Hugging Face hub, and files of the user's own."""

import contextlib
import hashlib
import os
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from teichaku.backends.hub import SHAPING_FILES, NotGivenOutError, card_licence, pull_from_hub
from teichaku.backends.package_index import (
    PackagedFile,
    Part,
    Progress,
    is_complete,
    pull_file,
)
from teichaku.core.errors import ModelUnavailableError
from teichaku.core.locale import translate

_CATALOGUE = Path(__file__).with_name("models.yaml")
#: Beside a model whose terms this user was told of.
_TOLD = "terms-told"
Role = Literal["chat", "embedder"]
Kind = Literal["gguf", "transformers"]


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model that comes out of a package index.

    ``terms_notice`` is to be shown before first use where the licence is not open source.
    ``hub_names`` are the names that mean the same model on the hub; ``tokens_per_second``
    was seen on 2 cores, 0 where it writes no text.
    """

    name: str
    role: Role
    purpose: str
    languages: tuple[str, ...]
    licence: str
    licence_url: str
    terms_notice: str
    file: PackagedFile
    hub_names: tuple[str, ...]
    tokens_per_second: float

    @property
    def bytes(self) -> int:
        """Size of the model file."""
        return self.file.bytes

    @property
    def sha256(self) -> str:
        """SHA-256 of the model file."""
        return self.file.sha256


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model on the disk: a file (``gguf``), or a folder that transformers reads.

    ``sha256`` names the weights: the hash of the file, the commit on the hub, or a hash over
    the files of a folder. ``substitution`` is to be shown: why it is not the model asked for.
    """

    name: str
    path: Path
    licence: str
    licence_url: str
    terms_notice: str
    sha256: str
    kind: Kind
    substitution: str = ""


def cache_home() -> Path:
    """The folder for models and the request cache: TEICHAKU_HOME, or one in the user's cache."""
    chosen = os.environ.get("TEICHAKU_HOME", "")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "teichaku"


def packaged_models() -> list[PackagedModel]:
    """All packaged models."""
    return list(_catalogue().values())


def is_pulled(name: str) -> bool:
    """Whether a packaged model is on the disk. Raises ``ModelUnavailableError`` for no such."""
    return is_complete(_packaged(name).file, _folder(name))


def pull(name: str, progress: Progress | None = None) -> Path:
    """The file of a packaged model, pulled and verified where it is not on the disk yet.

    ``progress`` gets bytes done and bytes in all. Raises ``ModelUnavailableError``.
    """
    return pull_file(_packaged(name).file, _folder(name), progress)


def check(name_or_path: str) -> None:
    """Raise ``ModelUnavailableError`` for a name that can be no model, without pulling any."""
    known = name_or_path in _catalogue() or Path(name_or_path).expanduser().exists()
    if not known and _looks_like_a_path(name_or_path):
        raise ModelUnavailableError.told(
            "There is no model at {path}.", _list_hint(), path=name_or_path
        )
    if not known and name_or_path.count("/") != 1:
        raise _unknown(name_or_path)


def resolve(
    name_or_path: str, progress: Progress | None = None, *, role: Role | None = None
) -> ResolvedModel:
    """A model on the disk; with ``role``, no packaged one of another role.

    A path is taken as it is. A packaged name is pulled. A name ``org/model`` is asked for at
    the hub; where that cannot be reached or keeps it back, and it is not on the disk, its
    packaged twin is pulled. Raises ``ModelUnavailableError`` with what to do.
    """
    check(name_or_path)
    path = Path(name_or_path).expanduser()
    packaged = _catalogue().get(name_or_path)
    if packaged and role in (None, packaged.role):
        return _resolve_packaged(packaged, progress)
    if packaged:
        raise ModelUnavailableError.told(
            "{model} is of the kind {kind}, not {wanted}.",
            _list_hint(),
            model=packaged.name,
            kind=packaged.role,
            wanted=role,
        )
    if path.exists():
        return _resolve_path(path)
    return _resolve_hub_name(name_or_path, progress, role)


def terms_to_tell(found: ResolvedModel) -> str:
    """The notice of ``found``'s terms, for people; empty where it has none, or where this user was
    told before, which a file beside the packaged model says.
    """
    for model in packaged_models():
        if found.terms_notice and model.terms_notice == found.terms_notice:
            marker = _folder(model.name) / _TOLD
            if marker.is_file():
                return ""
            # Where it cannot be kept, it is told again.
            with contextlib.suppress(OSError):
                marker.parent.mkdir(parents=True, exist_ok=True)
                marker.touch()
            break
    return translate(found.terms_notice)


def seen_speed(identity: str) -> float | None:
    """Generated tokens a second that were seen for the packaged model with ``identity``, on 2
    cores; None for other models.
    """
    for model in packaged_models():
        if model.sha256 in identity and model.tokens_per_second:
            return model.tokens_per_second
    return None


@cache
def _catalogue() -> dict[str, PackagedModel]:
    import yaml

    entries = yaml.safe_load(_CATALOGUE.read_text(encoding="utf-8"))
    return {entry["name"]: _model(entry) for entry in entries}


def _model(entry: dict[str, Any]) -> PackagedModel:
    file = PackagedFile(entry["file"], entry["sha256"], entry["bytes"], _parts(entry["parts"]))
    return PackagedModel(
        entry["name"],
        entry["role"],
        entry["purpose"],
        tuple(entry["languages"]),
        entry["licence"],
        entry["licence_url"],
        entry.get("terms_notice", ""),
        file,
        tuple(entry["hub_names"]),
        float(entry["tokens_per_second"]),
    )


def _parts(pattern: dict[str, Any]) -> tuple[Part, ...]:
    first, count = pattern["first"], pattern["count"]
    numbers = [
        {"n": str(n), "nn": f"{n:02}", "before": f"{n - 1:02}"} for n in range(first, first + count)
    ]
    return tuple(
        Part(
            pattern["distribution"].format(**number),
            pattern["version"],
            pattern["member"].format(**number),
        )
        for number in numbers
    )


def _folder(name: str) -> Path:
    return cache_home() / "models" / name


def _packaged(name: str) -> PackagedModel:
    if name not in _catalogue():
        raise _unknown(name)
    return _catalogue()[name]


def _unknown(name: str) -> ModelUnavailableError:
    hint = _nearest(Path(name).name)
    return ModelUnavailableError.told("There is no packaged model '{name}'.", hint, name=name)


def _list_hint() -> str:
    return translate("The packaged models are listed by: teichaku models")


def _nearest(name: str) -> str:
    from rapidfuzz import process, utils

    known = [model.name for model in packaged_models()]
    found = process.extract(name, known, processor=utils.default_process, limit=2)
    nearest = translate(" or ").join(match for match, _score, _position in found)
    return translate("Did you mean {names}?").format(names=nearest) + f" {_list_hint()}"


def _looks_like_a_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.endswith(".gguf") or "\\" in name


def _resolve_packaged(model: PackagedModel, progress: Progress | None) -> ResolvedModel:
    path = pull(model.name, progress)
    terms = (model.licence, model.licence_url, model.terms_notice)
    return ResolvedModel(model.name, path, *terms, model.sha256, "gguf")


def _resolve_hub_name(name: str, progress: Progress | None, role: Role | None) -> ResolvedModel:
    twins = [model for model in packaged_models() if name in model.hub_names]
    try:
        found = pull_from_hub(name)
    except NotGivenOutError as error:
        for twin in twins:
            if role in (None, twin.role):
                said = translate("{why} The packaged {file} is taken instead.").format(
                    why=error.message, file=twin.file.name
                )
                return replace(_resolve_packaged(twin, progress), substitution=said)
        packaged = translate("Or take a packaged model.")
        error.hint += f" {packaged} {_nearest(name)}"
        raise
    kind: Kind = "gguf" if found.path.suffix == ".gguf" else "transformers"
    notice = twins[0].terms_notice if twins else ""
    page = f"https://huggingface.co/{name}"
    return ResolvedModel(name, found.path, found.licence, page, notice, found.revision, kind)


def _resolve_path(path: Path) -> ResolvedModel:
    if path.is_file() and path.suffix.lower() == ".gguf":
        return _resolve_gguf(path)
    if (path / "config.json").is_file():
        licence, sha256 = card_licence(path), _folder_sha256(path)
        return ResolvedModel(path.name, path, licence, "", "", sha256, "transformers")
    files = sorted(path.glob("*.gguf"))
    if len(files) == 1:
        return _resolve_gguf(files[0])
    raise ModelUnavailableError.told(
        "{path} is no model.",
        translate(
            "A model is a .gguf file, a folder with just one of those, or a folder with a "
            "config.json."
        ),
        path=path,
    )


def _resolve_gguf(path: Path) -> ResolvedModel:
    sha256 = _sha256(path)
    # The same weights are under the same licence, whatever the file is called.
    for model in packaged_models():
        if model.sha256 == sha256:
            terms = (model.licence, model.licence_url, model.terms_notice)
            return ResolvedModel(path.stem, path, *terms, sha256, "gguf")
    return ResolvedModel(path.stem, path, card_licence(path.parent), "", "", sha256, "gguf")


def _folder_sha256(folder: Path) -> str:
    """One hash over the names and contents of all files that shape what the model says."""
    patterns = (*SHAPING_FILES, "*.bin", "additional_chat_templates/*.jinja")
    files = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    listed = "".join(f"{path.relative_to(folder).as_posix()} {_sha256(path)}\n" for path in files)
    return hashlib.sha256(listed.encode("utf-8", "surrogateescape")).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
