"""Answers to control sets, put into a small finished run (see :mod:`report_run`)."""

from collections.abc import Mapping, Sequence

from teichaku.core.records import Answer, Question, Score
from teichaku.core.run_folder import RunFolder
from teichaku.evaluation.benchmarks.controls import (
    ControlInfo,
    Controls,
    control_scores,
    write_results,
    write_sets,
)
from teichaku.evaluation.benchmarks.rows import Item

#: What a model says to the items of a set, by arm and set; None: the request failed.
Said = Mapping[tuple[str, str], Sequence[str | None]]
UNTRAINED = ("base", "api")
LABELS = ("0", "1")
CHOICE = ControlInfo(
    "choice", "choice", "Choices", "MC", "choice", "exact_match", "1", (0.0, 1.0), "match",
    is_published=False, items=12, shots=0, max_tokens=8, instruction="", frame="1.3",
)  # fmt: skip


def item(about: ControlInfo, place: int, reference: str = "1") -> Item:
    key = about.key
    question = Question(
        f"{key}-{place:02}", "control", f"{key}-document-{place // 2}", "", "", "どちら？", reference,
        benchmark=key,
    )  # fmt: skip
    return Item(question, (reference,), LABELS if about.form == "choice" else ())


def with_controls(
    run: RunFolder,
    sets: Sequence[ControlInfo],
    said: Said,
    references: Sequence[str] = (),
) -> RunFolder:
    """``run`` with the answers ``said`` to control sets."""
    folder = run.stage("controls")
    folder.begin("controls")
    size = len(next(iter(said.values())))
    wanted = references or ["1"] * size
    items = [item(about, place, wanted[place]) for about in sets for place in range(size)]
    by_id = {one.question.id: one for one in items}
    answers = [
        Answer(
            f"{key}-{place}-{arm}", f"{key}-{place:02}", arm,
            "base" if arm in UNTRAINED else "epoch-2", "closed_book", text or "",
            error="" if text is not None else "gone",
        )
        for (arm, key), texts in said.items()
        for place, text in enumerate(texts)
    ]  # fmt: skip
    of = Controls({one.key: one for one in sets}, by_id, answers, [], {})
    write_sets(folder, sets, items)
    scores = control_scores(of)
    folder.write("answers", Answer, answers)
    folder.write("scores", Score, scores)
    write_results(folder, of, scores)
    folder.finish("controls", {"counts": {"in": 0, "out": 0, "dropped": 0, "reasons": {}}})
    run.add_stage("controls", "controls")
    return run
