"""The sections for texts from passages become methods with their published numbers."""

from pathlib import Path
from typing import Any

import pytest

from made import passage
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Request, Sampling
from teichaku.recipes.arms import expand_arms
from teichaku.recipes.methods import build_methods, method_fingerprint
from teichaku.recipes.progress import Silent
from teichaku.recipes.schema import Recipe
from teichaku.recipes.study import Study

SAMPLING = {
    "paraphrase": Sampling(1.0, 1.0, 1024),
    "diverse_prompts": Sampling(1.0, 1.0, 1024),
    "active_reading": Sampling(0.7, 0.9, 2048),
    "focal_rewrite": Sampling(1.0, 1.0, 1024),
}
#: First requests about one passage.
REQUESTS = {
    "verbatim": 0,
    "paraphrase": 4,
    "diverse_prompts": 7,
    "active_reading": 1,
    "focal_rewrite": 1,
}


def built(folder: Path, prompts: Path | None = None, **section: Any) -> Any:
    recipe = Recipe.model_validate(
        {
            "name": "study",
            "documents": {"paths": ["docs"]},
            "teacher": {"backend": "scripted"},
            "student": {"backend": "scripted"},
            "arms": {"texts": {"examples": [section]}},
        }
    )
    pack = PromptPack("ja", prompts)
    unused: Any = None
    arms = expand_arms(recipe)
    study = Study(recipe, folder, unused, unused, pack, Silent(), arms, unused)
    (method,) = build_methods(study, "texts")
    return method


@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_a_section_without_settings_has_the_published_ones(name: str, tmp_path: Path) -> None:
    method = built(tmp_path, method=name)
    assert method.name == name
    asked = [r for r in method.requests(passage()) if isinstance(r, Request)]
    assert len(asked) == REQUESTS[name]
    if name in SAMPLING:
        assert method.sampling == SAMPLING[name]


def test_settings_of_a_recipe_reach_the_method(tmp_path: Path) -> None:
    texts = built(tmp_path, method="paraphrase", styles=["qa", "hard"], per_style=3)
    styles = [request.subject.style for request in texts.requests(passage())]
    assert styles == ["qa"] * 3 + ["hard"] * 3
    studied = built(tmp_path, method="active_reading", task="クイズ", strategies=2, samples=3)
    requests = list(studied.requests(passage()))
    assert len(requests) == 3
    assert all("クイズ" in request.messages[-1].content for request in requests)
    assert requests[0].schema["properties"]["strategies"]["maxItems"] == 2
    focal = built(tmp_path, method="focal_rewrite", ratio=2, rewritten=1, per_passage=3)
    assert (focal.ratio, focal.rewritten, focal.per_passage) == (2.0, 1, 3)


def test_another_prompt_makes_another_fingerprint(tmp_path: Path) -> None:
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "paraphrase_easy.txt").write_text(
        "version: 2\n[user]\n{{ passage }}\nやさしく書いてください。", encoding="utf-8"
    )
    builtin = method_fingerprint(built(tmp_path, method="paraphrase"))
    assert builtin == method_fingerprint(built(tmp_path, method="paraphrase"))
    assert builtin != method_fingerprint(built(tmp_path, folder, method="paraphrase"))
    assert builtin != method_fingerprint(built(tmp_path, method="paraphrase", per_style=2))
