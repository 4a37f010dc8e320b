"""Models of the Hugging Face hub, where it can be reached."""

import http.client
import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teichaku.core.errors import ModelUnavailableError
from teichaku.core.locale import translate

#: An unreachable hub is to be noticed within seconds.
_TIMEOUT_SECONDS = 4.0
_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
#: What shapes the replies of a model in a folder: weights, tokenizer, templates, settings.
SHAPING_FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
#: Of many quantisations the one that is commonly advised, then the nearest ones.
_QUANTISATIONS = ("q4_k_m", "q4_k_s", "q5_k_m", "q4_0", "q8_0", "f16")


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model of the hub on the disk; ``revision`` is the commit."""

    path: Path
    revision: str
    licence: str


class NotGivenOutError(ModelUnavailableError):
    """The hub cannot be reached, is not to be asked (HF_HUB_OFFLINE), or keeps the model back, and
    the model is not on this machine either.
    """


def pull_from_hub(name: str) -> HubModel:
    """The model ``org/model``: a GGUF file where the repository has some, else the folder.

    Where the hub does not give it out, the one that was downloaded before. Raises
    :class:`NotGivenOutError` where there is none, and another ``ModelUnavailableError`` where the
    name is none, the download fails, or there is no room for it.
    """
    if not _NAME.fullmatch(name):
        raise ModelUnavailableError(
            f"'{name}' is no path that exists and no name that a model on the hub can have.",
            "Such names are org/model, in letters from A to Z, digits, and - _ .",
        )
    try:
        import huggingface_hub
        from huggingface_hub import constants
    except ImportError as error:
        raise _unreachable(name, "huggingface_hub is not installed") from error
    try:
        information = _information(constants, name, huggingface_hub.get_token())
    except NotGivenOutError:
        found = _from_disk(Path(constants.HF_HUB_CACHE), name)
        if found is None:
            raise
        return found
    files = sorted(str(entry["rfilename"]) for entry in information.get("siblings") or ())
    weights = _gguf_file(files)
    try:
        folder = huggingface_hub.snapshot_download(
            name,
            revision=information.get("sha"),
            allow_patterns=[weights] if weights else [*SHAPING_FILES, "README.md"],
        )
    except (OSError, _transport_error(huggingface_hub)) as error:
        raise ModelUnavailableError(
            f"{name} cannot be downloaded from the hub: {_first_line(error)}",
            "Try again: files that are finished are kept. Or fetch it by hand and name its path.",
        ) from error
    path = Path(folder) / weights if weights else Path(folder)
    return HubModel(path, str(information.get("sha") or ""), _licence(information))


def _unreachable(name: str, why: str) -> NotGivenOutError:
    return NotGivenOutError.told(
        "{model} is not on this machine, and the hub cannot be reached ({why}).",
        translate("Connect to the hub (pip install huggingface_hub), or name a path."),
        model=name,
        why=why,
    )


def _from_disk(home: Path, name: str) -> HubModel | None:
    """The newest whole snapshot in the cache of the hub's client. Its own search wants a branch,
    which is not noted for what was downloaded by commit, and takes half a model for a whole one.
    """
    snapshots = (home / f"models--{name.replace('/', '--')}" / "snapshots").glob("*")
    for folder in sorted(snapshots, key=lambda path: path.stat().st_mtime, reverse=True):
        # A link may be left of a file that was removed.
        there = [path for path in folder.rglob("*") if path.is_file()]
        files = sorted(path.relative_to(folder).as_posix() for path in there)
        weights = _gguf_file(files)
        if weights or _is_whole(folder, set(files)):
            licence = card_licence(folder)
            return HubModel(folder / weights if weights else folder, folder.name, licence)
    return None


def _is_whole(folder: Path, there: set[str]) -> bool:
    """Whether a configuration and all weights are ``there``; a file is, once it is finished."""
    for weights in ("model.safetensors", "pytorch_model.bin"):
        index = folder / f"{weights}.index.json"
        parts = {weights}
        if index.is_file() and weights not in there:
            parts = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        if {"config.json", *parts} <= there:
            return True
    return False


def _information(constants: Any, name: str, token: str | None) -> dict[str, Any]:
    """What the hub says about a model."""
    if constants.HF_HUB_OFFLINE:
        raise _unreachable(name, "HF_HUB_OFFLINE is set")
    request = urllib.request.Request(f"{constants.ENDPOINT}/api/models/{name}")
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
            content: dict[str, Any] = json.load(response)
            return content
    except urllib.error.HTTPError as error:
        if error.code in (401, 403, 404):
            raise NotGivenOutError.told(
                "The hub has no model {model} that you may use (HTTP {code}).",
                translate(
                    "Check the name; accept the model's terms on its page and set HF_TOKEN if it "
                    "asks for that."
                ),
                model=name,
                code=error.code,
            ) from error
        raise _unreachable(name, f"HTTP {error.code}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _unreachable(name, _first_line(error)) from error


def _gguf_file(files: list[str]) -> str:
    """The GGUF file to take; empty where there is none."""
    found = [name for name in files if name.lower().endswith(".gguf") and "-of-" not in name]
    for quantisation in _QUANTISATIONS:
        for name in found:
            if quantisation in name.lower():
                return name
    return found[0] if found else ""


def _licence(information: Mapping[str, Any]) -> str:
    card = information.get("cardData") or {}
    return str(card.get("license_name") or card.get("license") or "unknown")


def card_licence(folder: Path) -> str:
    """The licence in the head of the model card in ``folder``; ``unknown`` where none is."""
    import yaml

    card = folder / "README.md"
    if not card.is_file():
        return "unknown"
    parts = card.read_text(encoding="utf-8", errors="replace").split("---\n", 2)
    if len(parts) < 3 or parts[0].strip():
        return "unknown"
    try:
        head = yaml.safe_load(parts[1])
    except yaml.YAMLError:
        return "unknown"
    return _licence({"cardData": head}) if isinstance(head, dict) else "unknown"


def _transport_error(huggingface_hub: Any) -> type[Exception]:
    """What the hub's client raises when the network fails; its versions use different ones."""
    found: type[Exception] = getattr(huggingface_hub.errors, "HTTPError", OSError)
    return found


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
