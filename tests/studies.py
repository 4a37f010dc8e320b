"""A small study on the scripted models, and how to look at what it left."""

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

from teichaku.core.run_folder import RunFolder
from teichaku.recipes.load import load_recipe
from teichaku.recipes.progress import Progress, Silent
from teichaku.recipes.run import Options, run_recipe

DOCUMENTS = {
    "あおば丸": "種別：遊覧船\n定員：48人\n建造：1987年\n料金：1,800円\n船体：檜",
    "みさき号": "種別：連絡船\n定員：120人\n建造：2003年\n料金：650円\n船体：鋼",
    "小夜風": "種別：帆船\n定員：6人\n建造：1964年\n料金：9,500円\n船体：杉",
}
#: Small, so that a run takes seconds: what is asked by default is asked here, too.
EVALUATION = """\
{judge: {epochs: true}, unanswerable: {per_document: 1},
 controls: [{name: jcommonsenseqa, items: 6}, {name: jnli, items: 3}]}"""
RECIPE = """\
name: boats
language: ja
documents: {paths: [docs]}
teacher: {backend: scripted, seconds: SECONDS}
student: {backend: scripted, seconds: SECONDS}
arms:
  qa:
    examples: [{method: document_qa, per_passage: 5}]
    matrix: {training.learning_rate: [1e-3, 1e-4]}
questions: {per_document: 4, hold_out: {per_category: 2}}
training: {epochs: 3, batch_size: 2, checkpoint_every_steps: 2}
evaluation: EVALUATION
"""


def write_study(folder: Path, seconds: float = 0.0, evaluation: str = EVALUATION) -> Path:
    """The recipe of a study in ``folder``, with its documents; ``evaluation`` is its section."""
    docs = folder / "docs"
    docs.mkdir(parents=True, exist_ok=True)
    for title, text in DOCUMENTS.items():
        (docs / f"{title}.md").write_text(f"---\ntitle: {title}\nlicence: CC0 1.0\n---\n{text}\n")
    recipe = folder / "recipe.yaml"
    text = RECIPE.replace("SECONDS", str(seconds)).replace("EVALUATION", evaluation)
    recipe.write_text(text, encoding="utf-8")
    return recipe


SEEDS = [
    {
        "instruction": "次の文を敬語に直してください。",
        "input": "明日行く。",
        "output": "明日伺います。",
    },
    {"instruction": "3の2乗はいくつですか。", "output": "9"},
]


def write_data_study(folder: Path, **changes: Any) -> Path:
    """The recipe of a study without a student in ``folder``, with its documents and a file of
    seeds; ``changes`` are keys of the recipe, None for one that is to go.
    """
    recipe = write_study(folder)
    lines = (json.dumps(seed, ensure_ascii=False) for seed in SEEDS)
    (folder / "seeds.jsonl").write_text("\n".join(lines), "utf-8")
    whole = {
        "name": "boats",
        "documents": {"paths": ["docs"]},
        "teacher": {"backend": "scripted"},
        "curation": ["duplicates"],
        "arms": {"qa": {"examples": [{"method": "document_qa", "per_passage": 5}]}},
        **changes,
    }
    kept = {key: value for key, value in whole.items() if value is not None}
    recipe.write_text(yaml.safe_dump(kept, allow_unicode=True, sort_keys=False), "utf-8")
    return recipe


def run_study(recipe: Path, progress: Progress | None = None) -> RunFolder:
    """Run the study beside its recipe, with a cache of its own."""
    folder = recipe.parent
    options = Options(runs=folder / "runs", cache=folder / "cache" / "requests.sqlite")
    return run_recipe(load_recipe(recipe), folder, progress or Silent(), options)


#: What holds times, the machine, or how often the cache helped; it differs from run to run.
VARIABLE = {"timing.json", "spending.json", "run.json", "report.json", "index.html"}


def final_files(run: RunFolder) -> dict[str, str]:
    """SHA-256 of every file of the run that must not depend on how it came to be."""
    return {
        str(path.relative_to(run.path)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(run.path.rglob("*"))
        if path.is_file() and path.name not in VARIABLE
    }
