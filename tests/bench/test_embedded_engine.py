"""What the sides of the bench of the embedded engine are, and how it reports them."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from teichaku.backends.registry import ResolvedModel

PATH = Path(__file__).parents[2] / "bench" / "embedded_engine.py"


def load_bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_embedded_engine", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bench = load_bench()


def settings_of(side: str) -> Any:
    pytest.importorskip("xllamacpp")
    found = ResolvedModel("tiny", Path("tiny.gguf"), "", "", "", "0" * 64, "gguf")
    return bench.engine_of(side, found).settings()


def test_only_the_side_without_a_prompt_cache_has_none() -> None:
    engines = [side for side in bench.SIDES if not side.startswith("server")]
    found = {side: settings_of(side) for side in engines}
    kept = {side for side, s in found.items() if s.cache_prompt and s.cache_ram_mib}
    assert kept == {*engines} - {"uncached"}
    assert (found["uncached"].cache_prompt, found["uncached"].cache_ram_mib) == (False, 0)
    assert found["uncached"].cache_idle_slots is False


def test_but_for_its_caches_it_is_as_a_recipe_has_it() -> None:
    ours, uncached = settings_of("ours"), settings_of("uncached")
    for name in ("n_ctx", "n_parallel", "n_batch", "n_ubatch"):
        assert getattr(ours, name) == getattr(uncached, name)
    assert ours.cpuparams.n_threads == uncached.cpuparams.n_threads


@pytest.mark.parametrize(
    ("sides", "gives"), [([], 1.6), (["server", "ours"], None), (["ours", "uncached"], 1.6)]
)
def test_what_the_prompt_cache_gives_is_a_figure_of_its_own(
    sides: list[str],
    gives: float | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[str] = []

    def measure(name: str, passages: int) -> dict[str, Any]:
        asked.append(name)
        return {"tokens": 160, "seconds": 16.0 if name == "uncached" else 10.0}

    monkeypatch.setattr(bench, "measure", measure)
    named = ["--sides", *sides] if sides else []
    code = bench.main(["--repeats", "2", *named])
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert asked == (sides or list(bench.SIDES)) * 2
    assert line["prompt_cache_gives"] == gives
    assert line["tokens_per_second"].keys() == set(asked)
    assert code == (0 if line["ok"] else 1) == (0 if "server" in asked else 1)
