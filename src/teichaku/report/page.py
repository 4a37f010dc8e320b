"""The report as one HTML file that carries all it needs and may not reach the network.

Everything that comes from documents and models is escaped: as HTML by Jinja, as JSON by
writing ``<`` as an escape. The content security policy then lets only the page's own two
scripts run, named by their hashes, and forbids every connection.
"""

import base64
import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import teichaku
from teichaku.report.control_figures import control_figures
from teichaku.report.figures import Figure, figures, javascript
from teichaku.report.score_distributions import distribution_figures
from teichaku.report.verdict import MINIMUM_DOCUMENTS, MINIMUM_QUESTIONS, direction, is_small
from teichaku.report.wording import Wording

_FOLDER = Path(__file__).parent / "templates"


def render(report: dict[str, Any], words: Wording) -> str:
    """The page for the content of a ``report.json``."""
    drawn = [
        *figures(report, words),
        *distribution_figures(report, words),
        *control_figures(report, words),
    ]
    scripts = [_library(), (_FOLDER / "page.js").read_text("utf-8")]
    by_section: dict[str, list[Figure]] = {}
    for figure in drawn:
        by_section.setdefault(figure.section, []).append(figure)
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            report=report,
            words=words,
            figures=by_section,
            specs=Markup(script_json({figure.name: figure.spec for figure in drawn})),
            scripts=[Markup(script) for script in scripts],
            style=Markup((_FOLDER / "page.css").read_text("utf-8")),
            policy=_policy(scripts),
            version=report["run"].get("teichaku") or teichaku.__version__,
            minimum={"questions": MINIMUM_QUESTIONS, "documents": MINIMUM_DOCUMENTS},
            is_small=is_small,
        )
    )


def script_json(content: Any) -> str:
    """JSON that may stand inside a script element: it can neither end it nor open a comment."""
    written = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return written.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(scripts: list[str]) -> str:
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


@lru_cache(maxsize=1)
def _library() -> str:
    """The chart library, shut into a function of its own so that its short names stay there."""
    return f"(() => {{\n{javascript()}\n}})();"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["direction"] = direction
    return environment
