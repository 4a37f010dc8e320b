"""What a run says of itself: ``run.json``."""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from teichaku import __version__
from teichaku.backends.terms import Terms
from teichaku.core.records import Document
from teichaku.core.run_folder import RunFolder
from teichaku.evaluation.scorers import headline_scorer
from teichaku.recipes.arms import base_arms, by_weights
from teichaku.recipes.controls_stage import asks_controls
from teichaku.recipes.signals_stage import asks_signals
from teichaku.recipes.study import Study
from teichaku.recipes.training_stage import describe_arms
from teichaku.recipes.unanswerable_stage import asks_unanswerable
from teichaku.recipes.workshop import ModelCard

#: A report names so many documents; all of them stand in documents.parquet.
_ATTRIBUTIONS = 200
_FILE = "run.json"

_PACKAGES = ("numpy", "pyarrow", "torch", "transformers", "peft", "xllamacpp", "altair")


def describe(
    study: Study, profile: str, command: str, inputs: Mapping[str, str], started: str
) -> None:
    """Write ``run.json``: all that is needed to repeat the run and to read its report."""
    recipe = study.recipe
    before = study.run.read_json(_FILE) if (study.run.path / _FILE).is_file() else {}
    study.run.write_json(
        _FILE,
        {
            "name": recipe.name,
            "language": recipe.language,
            "command": command,
            # From the run's folder, so that neither the working directory nor the machine counts.
            "root": os.path.relpath(study.root.resolve(), study.run.path.resolve()),
            "profile": profile,
            "seed": recipe.seed,
            # Of the first call for this folder, whatever its recipe was.
            "first_started": before.get("first_started") or before.get("started") or started,
            "started": started,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "teichaku": __version__,
            "python": platform.python_version(),
            "commit": _commit(),
            "versions": _versions(),
            "machine": machine(),
            "inputs": dict(inputs),
            "models": [_card(card, study.terms) for card in study.workshop.cards.values()],
            "arms": describe_arms(study),
            "stages": stages_of(study),
            "asks_questions": recipe.asks_questions,
            "mixtures": _mixtures(study.run),
            "base_arms": list(base_arms(list(study.arms))),
            "further_models": list(recipe.evaluation.models),
            "headline_scorer": headline_scorer(recipe.evaluation.scorers),
            "documents": _attributions(study.run),
        },
    )


def stages_of(study: Study) -> list[str]:
    """The stages of the recipe by name, in their order."""
    recipe, evaluation = study.recipe, study.recipe.evaluation
    asks, data = recipe.asks_questions, study.data_arms()
    wanted = {
        "documents": recipe.documents is not None,
        "novelty": recipe.novelty is not None,
        **{f"{stage}/{name}": True for name in data for stage in ("synthesis", "curation")},
        **{f"curation/{name}": True for name in study.controls()},
        **{f"dataset/{name}": recipe.ends_with_data for name in data},
        "questions": asks,
        "retrieval": recipe.retrieves,
        **_of_arms(study),
        "evaluation": asks,
        "controls": asks_controls(study),
        "unanswerable": asks_unanswerable(study),
        "signals": asks_signals(study),
        "comparisons": evaluation.pairwise is not None,
        "calibration": evaluation.calibration is not None,
    }
    # What ends with data asks nobody, whatever its evaluation says.
    asked = () if not recipe.ends_with_data else ("controls", "comparisons", "calibration")
    return [name for name, is_wanted in wanted.items() if is_wanted and name not in asked]


def _of_arms(study: Study) -> dict[str, bool]:
    return {
        f"{stage}/{arm.name}": stage == "training" or study.is_probed(arm)
        for arm in by_weights(study.arms)
        for stage in ("training", "probes")
    }


def _card(card: ModelCard, terms: Terms) -> dict[str, Any]:
    """What the run says about a model; of the teacher also what its terms want."""
    told = asdict(card)
    if card.role == "teacher":
        keys = ("name", "licence_class", "clause", "source", "checked")
        told["terms"] = {key: getattr(terms, key) for key in keys}
    return told


def _mixtures(run: RunFolder) -> dict[str, Any]:
    """Of each arm that mixes data of others in, its sources: whose they are, under which licence,
    and what part they make.
    """
    notes = {name: summary.get("notes") or {} for name, summary in run.stages().items()}
    return {
        name.partition("/")[2]: found["mix"]
        for name, found in notes.items()
        if name.startswith("synthesis/") and "mix" in found
    }


def _attributions(run: RunFolder) -> dict[str, Any]:
    """How many documents have which licence, and whom to name for them."""
    licences: dict[str, int] = {}
    named: list[str] = []
    for document in run.stage("documents").read("documents", Document):
        name = document.licence or "not stated"
        licences[name] = licences.get(name, 0) + 1
        if document.licence and len(named) < _ATTRIBUTIONS:
            told = (document.title, document.attribution, document.source)
            name = ": ".join(filter(None, told))
            named.append(f"{name} ({document.licence})")
    return {"licences": dict(sorted(licences.items())), "attributions": sorted(named)}


def machine() -> dict[str, Any]:
    """Cores, memory in GiB, processor and accelerator of this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    accelerator = "none"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        accelerator = torch.cuda.get_device_name()
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "processor": _processor(),
        "accelerator": accelerator,
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _commit() -> str:
    """The commit of the program where it runs from a checkout, with ``+changes`` if dirty."""
    here = Path(__file__).parent
    if not (here.parents[2] / "pyproject.toml").is_file():
        return ""  # installed: a commit found from here would be of somebody else's project
    try:
        head = subprocess.run(
            ["git", "describe", "--always", "--dirty=+changes", "--abbrev=12"],
            cwd=here, capture_output=True, text=True, check=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return head.stdout.strip()
