"""What people said of the answers of a run, as it lies in its folder ``people``."""

import json
from dataclasses import dataclass

from teichaku.core.records import Answer, Comparison, Judgement, content_id
from teichaku.core.run_folder import read_records
from teichaku.evaluation.judging.protocol import JudgeProtocol, read_protocol
from teichaku.report.evidence import Evidence

_FOLDER = "people"


@dataclass(frozen=True)
class Person:
    """The marks of a person, or the verdicts on pairs, with their protocol. ``stale`` rows are
    about answers that the evaluation has not any more, or in another wording: they are left out.
    """

    protocol: JudgeProtocol
    marks: tuple[Judgement, ...]
    verdicts: tuple[Comparison, ...]
    stale: int


def people(evidence: Evidence) -> list[Person]:
    """Everybody who marked or compared answers, by name; who did both comes twice."""
    folder = evidence.finished.run.path / _FOLDER
    of_controls = evidence.finished.read("controls", "answers", Answer)
    now = {answer.id: content_id(answer.text) for answer in (*evidence.answers, *of_controls)}
    found = []
    for path in sorted(folder.glob("*/*.json")):
        about = json.loads(path.read_text(encoding="utf-8"))
        texts, protocol = about["texts"], read_protocol(about["protocol"])
        rows, marks, verdicts = path.with_suffix(".parquet"), [], []
        is_now = {answer: now.get(answer) == text for answer, text in texts.items()}
        if protocol.kind == "absolute":
            marks = list(read_records(rows, Judgement))
        else:
            verdicts = list(read_records(rows, Comparison))
        kept = [row for row in marks if is_now.get(row.answer_id)]
        pairs = [
            row
            for row in verdicts
            if is_now.get(row.first_answer_id) and is_now.get(row.second_answer_id)
        ]
        stale = len(marks) + len(verdicts) - len(kept) - len(pairs)
        found.append(Person(protocol, tuple(kept), tuple(pairs), stale))
    return found
