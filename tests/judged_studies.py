"""Studies on scripted models with several judges, some of which are not to be trusted."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from studies import run_study, write_study
from teichaku.backends import scripted
from teichaku.core.records import Request
from teichaku.core.run_folder import RunFolder

#: The first of the two arms of the study, by its name in files and commands.
ARM = "qa@learning_rate=0.001"
PAIRWISE = {"between": [["base", ARM]], "questions": 8}
KNOWN = [
    {
        "question": f"{n}時間は何分ですか。",
        "answer": answer,
        "mark": mark,
        "reference": f"{60 * n}分",
    }
    for n, answer, mark in ((1, "60分", 10), (2, "分かりません。", 1), (3, "180分です。", 9))
]


def first_is_better(request: Request) -> str:
    """A judge that goes by the place alone."""
    name = request.prompt.partition("/")[2].partition("@")[0]
    if name == "judge_pairwise":
        return '{"comparison": "先の回答がよい。", "better": "A"}'
    return scripted.scripted_teacher(request)


def in_prose(request: Request) -> str:
    """A judge that never says what was asked for."""
    return "どちらの回答もたいへん興味深いものでした。"


JUDGES = {"first": first_is_better, "prose": in_prose}


class Various(scripted.ScriptedModel):
    """A scripted model whose script goes by its name."""

    def __init__(self, script: scripted.Script, name: str = "", seconds: float = 0.0) -> None:
        super().__init__(JUDGES.get(name, script), name, seconds)


def judged_study(
    folder: Path, patched: pytest.MonkeyPatch, evaluation: dict[str, Any], **changes: Any
) -> Path:
    """The recipe of a study whose models called ``first`` and ``prose`` judge as they do."""
    patched.setattr(scripted, "ScriptedModel", Various)
    recipe = write_study(folder)
    whole = yaml.safe_load(recipe.read_text("utf-8"))
    small = {"unanswerable": None, "signals": None, "controls": [], **evaluation}
    whole |= {"evaluation": small, **changes}
    recipe.write_text(yaml.safe_dump(whole, allow_unicode=True, sort_keys=False), "utf-8")
    return recipe


def run_judged(folder: Path, patched: pytest.MonkeyPatch, **evaluation: Any) -> RunFolder:
    """The run of such a study."""
    return run_study(judged_study(folder, patched, evaluation))


def write_known(path: Path) -> Path:
    """A file of answers whose marks are known."""
    lines = (json.dumps(row, ensure_ascii=False) for row in KNOWN)
    path.write_text("\n".join(lines), "utf-8")
    return path
