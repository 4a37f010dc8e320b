"""What the stages wrote of their judges: who they are, by which protocols, whose answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from teichaku.core.records import Answer, Comparison, Judgement, Question
from teichaku.evaluation.judging.protocol import JudgeProtocol, read_protocol
from teichaku.report.evidence import Evidence
from teichaku.report.people import people

_PROTOCOLS = "protocols.json"
_PEOPLE = "people:"


@dataclass(frozen=True)
class Judge:
    """A judge as a stage has it. ``name`` is empty for the recipe's own. ``itself`` names the arms
    whose model it is, with how. ``model`` is its name for people.
    """

    name: str
    identity: str
    model: str
    is_teacher: bool = False
    itself: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Judging:
    """What one stage knows of its judges; empty where it has none."""

    judges: tuple[Judge, ...] = ()
    protocols: tuple[JudgeProtocol, ...] = ()
    models: tuple[tuple[str, str], ...] = ()

    def judge(self, identity: str) -> Judge | None:
        """The judge of this identity."""
        return next((judge for judge in self.judges if judge.identity == identity), None)


def judging(evidence: Evidence, stage: str) -> Judging:
    """The judges of a stage, in the order of the recipe."""
    found = evidence.finished.json(stage, _PROTOCOLS)
    names = {str(m.get("identity")): str(m.get("name")) for m in evidence.run.get("models") or []}
    judges = (
        Judge(
            row["name"],
            row["identity"],
            names.get(row["identity"], row["identity"]),
            row["is_teacher"],
            tuple(sorted(row["itself"].items())),
        )
        for row in found.get("judges", ())
    )
    return Judging(
        tuple(judges),
        tuple(read_protocol(row) for row in found.get("protocols", ())),
        tuple(sorted(found.get("models", {}).items())),
    )


def all_judges(evidence: Evidence) -> list[Judge]:
    """The judges of all stages that show them answers of the arms, each once."""
    stages = ("evaluation", "controls", "comparisons")
    found = [judge for stage in stages for judge in judging(evidence, stage).judges]
    return list({judge.identity: judge for judge in found}.values())


@dataclass(frozen=True)
class Compared:
    """All verdicts of a run on pairs of answers, with what they are about, by id."""

    comparisons: Sequence[Comparison]
    protocols: Sequence[JudgeProtocol]
    answers: Mapping[str, Answer]
    questions: Mapping[str, Question]


def compared(evidence: Evidence) -> Compared:
    """The verdicts of judges and of people, where their questions and answers are known."""
    finished, persons = evidence.finished, people(evidence)
    rows = finished.rows("comparisons", "comparisons", Comparison, "id")
    asked = finished.read("comparisons", "questions", Question)
    shown = finished.read("comparisons", "answers", Answer)
    of_controls = finished.read("controls", "questions", Question)
    answers = (*evidence.answers, *finished.read("controls", "answers", Answer), *shown)
    by_id = {answer.id: answer for answer in answers}
    questions = {**evidence.questions, **{row.id: row for row in (*of_controls, *asked)}}
    said = [*rows, *(row for person in persons for row in person.verdicts)]
    return Compared(
        [
            row
            for row in said
            if row.question_id in questions
            and row.first_answer_id in by_id
            and row.second_answer_id in by_id
        ],
        [
            *judging(evidence, "comparisons").protocols,
            *(person.protocol for person in persons if person.protocol.kind == "pairwise"),
        ],
        by_id,
        questions,
    )


def is_person(protocol: JudgeProtocol) -> bool:
    """Whether somebody marked by hand."""
    return protocol.judge.startswith(_PEOPLE)


def label(protocol: JudgeProtocol, judges: Sequence[Judge]) -> dict[str, Any]:
    """Who judged, for people: ``role`` is ``own``, ``further``, ``people`` or ``unknown``."""
    if is_person(protocol):
        return {"role": "people", "name": protocol.judge.removeprefix(_PEOPLE), "model": ""}
    return judge_label(protocol.judge, judges)


def judge_label(identity: str, judges: Sequence[Judge]) -> dict[str, Any]:
    """The same for a judge of this identity: ``unknown`` is of no stage."""
    found = next((judge for judge in judges if judge.identity == identity), None)
    if found is None:
        return {"role": "unknown", "name": "", "model": identity}
    role = "further" if found.name else "own"
    return {"role": role, "name": found.name, "model": found.model}


def own_marks(evidence: Evidence) -> list[Judgement]:
    """The marks of the recipe's own judge; all of them where it is not told who that is."""
    own = [judge for judge in judging(evidence, "evaluation").judges if not judge.name]
    identities = {judge.identity for judge in own}
    return [row for row in evidence.judgements if not own or row.judge in identities]
