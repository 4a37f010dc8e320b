"""The table of who may import whom (docs/design.md) is true, and the command line stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "teichaku"
STAGES = {"documents", "synthesis", "curation", "training", "evaluation", "report"}
MAY_IMPORT = {
    "core": set(),
    **{stage: {"core"} for stage in STAGES},
    # A report shows what the pure functions of evaluation make of stored answers and marks.
    "report": {"core", "evaluation"},
    "backends": {"core"},
    "recipes": {"core", "backends", *STAGES},
    "cli": {"core", "backends", "recipes", "report"},
}
#: Packages that a command which needs no model must never load.
HEAVY = {"torch", "transformers", "peft", "pyarrow", "pydantic", "numpy", "aiohttp", "altair",
         "xllamacpp", "yaml", "rich.progress", "jinja2"}  # fmt: skip


def imports(path: Path) -> set[str]:
    """The parts of teichaku that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            assert node.level == 0, f"{path}: relative import"
        found |= {name.split(".")[1] for name in names if name.startswith("teichaku.")}
    return found - {"__version__"}


@pytest.mark.parametrize("part", sorted(MAY_IMPORT))
def test_a_part_imports_only_what_it_may(part: str) -> None:
    files = [SOURCE / "cli.py"] if part == "cli" else sorted((SOURCE / part).rglob("*.py"))
    assert files
    for path in files:
        beyond = imports(path) - {part} - MAY_IMPORT[part]
        assert not beyond, f"{path.relative_to(SOURCE)} imports {beyond}"


def test_every_file_belongs_to_a_part() -> None:
    parts = {path.relative_to(SOURCE).parts[0] for path in SOURCE.rglob("*.py")}
    assert parts == {*MAY_IMPORT, "__init__.py", "cli.py"} - {"cli"}


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['teichaku', '--help']\n"
        "from teichaku.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('MODULES', *sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage" in ran.stdout
    loaded = set(ran.stdout.partition("MODULES ")[2].split())
    assert "teichaku.cli" in loaded
    assert not loaded & HEAVY
    assert len(loaded) < 700


def test_functions_read_without_scrolling() -> None:
    long = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > 60:
                    long.append(f"{path.relative_to(SOURCE)}:{node.lineno} {node.name} {length}")
    assert not long
