"""Models of the Hugging Face hub, where it can be reached."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teichaku.core.errors import ModelUnavailableError

#: An unreachable hub is to be noticed within seconds.
_TIMEOUT_SECONDS = 4.0
_TRANSFORMERS_FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "README.md")
#: Of many quantisations the one that is commonly advised, then the nearest ones.
_QUANTISATIONS = ("q4_k_m", "q4_k_s", "q5_k_m", "q4_0", "q8_0", "f16")


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model of the hub on the disk; ``revision`` is the commit."""

    path: Path
    revision: str
    licence: str


class HubUnreachableError(Exception):
    """The hub does not answer, or is not to be asked (HF_HUB_OFFLINE)."""


def pull_from_hub(name: str) -> HubModel:
    """The model ``org/model``: a GGUF file where the repository has some, else the folder.

    Raises :class:`HubUnreachableError`, and ``ModelUnavailableError`` where the hub answers but
    does not give the model out, or there is no room for it.
    """
    try:
        import huggingface_hub
        from huggingface_hub import constants
    except ImportError as error:
        raise HubUnreachableError("huggingface_hub is not installed") from error
    if constants.HF_HUB_OFFLINE:
        return _from_disk(huggingface_hub, name)
    information = _information(constants.ENDPOINT, name, huggingface_hub.get_token())
    files = sorted(str(entry["rfilename"]) for entry in information.get("siblings") or ())
    weights = _gguf_file(files)
    try:
        folder = huggingface_hub.snapshot_download(
            name,
            revision=information.get("sha"),
            allow_patterns=[weights] if weights else list(_TRANSFORMERS_FILES),
        )
    except (OSError, _transport_error(huggingface_hub)) as error:
        raise ModelUnavailableError(
            f"{name} cannot be downloaded from the hub: {_first_line(error)}",
            "Try again: files that are finished are kept. Or fetch it by hand and name its path.",
        ) from error
    path = Path(folder) / weights if weights else Path(folder)
    return HubModel(path, str(information.get("sha") or ""), _licence(information))


def _from_disk(huggingface_hub: Any, name: str) -> HubModel:
    try:
        folder = Path(huggingface_hub.snapshot_download(name, local_files_only=True))
    except OSError as error:
        raise HubUnreachableError("HF_HUB_OFFLINE is set") from error
    weights = _gguf_file(sorted(path.name for path in folder.glob("*.gguf")))
    return HubModel(folder / weights if weights else folder, folder.name, card_licence(folder))


def _information(endpoint: str, name: str, token: str | None) -> dict[str, Any]:
    """What the hub says about a model."""
    request = urllib.request.Request(f"{endpoint}/api/models/{name}")
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
            content: dict[str, Any] = json.load(response)
            return content
    except urllib.error.HTTPError as error:
        if error.code in (401, 403, 404):
            raise ModelUnavailableError(
                f"The hub has no model {name} that you may use (HTTP {error.code}).",
                "Check the name; accept the model's terms on its page and set HF_TOKEN if it "
                "asks for that.",
            ) from error
        raise HubUnreachableError(f"HTTP {error.code}") from error
    except (OSError, json.JSONDecodeError) as error:
        raise HubUnreachableError(_first_line(error)) from error


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
