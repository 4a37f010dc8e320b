"""Can the judges be believed? What is known of each, beside what it said."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, TypeVar

from teichaku.core.agreement import Agreement, prediction_powered_mean
from teichaku.core.records import Answer, Comparison, Judgement, Question, Score
from teichaku.core.statistics import Scale
from teichaku.evaluation.benchmarks.controls import read_sets
from teichaku.evaluation.judging.marks import align, calibrate, judges_agreement, marks_by_answer
from teichaku.evaluation.judging.protocol import JudgeProtocol
from teichaku.evaluation.judging.trust import (
    JudgeReport,
    OrderConsistency,
    SelfPreference,
    VerdictAgreement,
    report_on_comparisons,
    report_on_marks,
    verdict_agreement,
)
from teichaku.evaluation.judging.verdicts import cluster_of, verdicts
from teichaku.report.evidence import Evidence
from teichaku.report.intervals import as_figure, final_answers, rounded
from teichaku.report.judging import (
    Judge,
    all_judges,
    compared,
    is_person,
    judging,
    label,
    own_marks,
)
from teichaku.report.people import Person, people
from teichaku.report.wording import Wording

Rated = TypeVar("Rated", Judgement, Comparison)

#: The scale of marks on answers to the run's questions.
_SCALE: Scale = (1.0, 10.0)
#: A mark of at most the one calls an answer more wrong than right, one of at least the other good.
_LOW, _HIGH = 5, 8
#: What stands for the prompt where people alone judged answers to benchmarks.
_SHEET = "sheet"
#: A share of marks that could not be read, and of pairs on whose orders a judge disagrees, from
#: which on the report warns.
_MANY_FAILED, _MANY_UNLIKE = 0.05, 0.2


@dataclass(frozen=True)
class _Marked:
    """Marks by one prompt on the answers that are compared, whoever gave them. ``of`` is empty for
    the questions of the run, else the prompt by which the answers to benchmarks were marked.
    ``models`` are the identities of the models by arm, ``scales`` those of the marks by benchmark.
    """

    of: str
    protocols: Sequence[JudgeProtocol]
    marks: Sequence[Judgement]
    answers: Mapping[str, Answer]
    questions: Mapping[str, Question]
    models: Mapping[str, str]
    scales: Mapping[str, Scale]

    def benchmark(self, answer_id: str) -> str:
        """The benchmark that an answer is to; empty for a question of the run."""
        return self.questions[self.answers[answer_id].question_id].benchmark

    def cluster(self, answer_id: str) -> str:
        """What an answer stands or falls with."""
        return cluster_of(self.questions[self.answers[answer_id].question_id])


def judges(evidence: Evidence) -> dict[str, Any] | None:
    """Everybody who marked or compared, with what speaks for and against them; None where nobody
    did.
    """
    persons, known = people(evidence), all_judges(evidence)
    of_run = _of_run(evidence, persons)
    marked = [of_run, *_of_controls(evidence, persons)]
    rows = [row for one in marked for row in _of_marks(one, known)]
    rows += _of_comparisons(evidence, known)
    calibrated = _calibrated(evidence, known)
    if not (rows or calibrated):
        return None
    return {
        "judges": rows,
        "against_reference": _against_reference(of_run, evidence.scores, known),
        "agreement": [found for one in marked if (found := _agreement(one, known))],
        "powered": [row for one in marked for row in _powered(one, persons, known)],
        "calibration": calibrated,
        "stale": sum(person.stale for person in persons),
    }


def judge_account(evidence: Evidence) -> dict[str, Any] | None:
    """The recipe's own judge: which model it is, how often it failed, and whether it wrote the
    training data too; None where it marked nothing.
    """
    marks = own_marks(evidence)
    if not marks:
        return None
    models = {str(item.get("role")): item for item in evidence.run.get("models", [])}
    teacher, judge = models.get("teacher", {}), models.get("judge", {})
    identities = sorted({row.judge for row in marks})
    own = judging(evidence, "evaluation").judge(identities[0])
    same_name = bool(judge) and judge.get("identity", judge.get("name")) == teacher.get(
        "identity", teacher.get("name")
    )
    return {
        "name": own.model if own else str(judge.get("name") or ", ".join(identities)),
        "identities": identities,
        "protocols": sorted({row.protocol for row in marks}),
        "judgements": len(marks),
        "failed": sum(row.score is None for row in marks),
        "is_teacher": own.is_teacher if own else same_name or teacher.get("identity") in identities,
    }


def judging_caveats(evidence: Evidence, words: Wording) -> list[str]:
    """Judges that mark their own answers, which the recipe allows."""
    return [
        words(
            "judges.marks_itself",
            judge=judge.model,
            arms=", ".join(f"{arm} ({words.label('judge_relations', how)})" for arm, how in own),
        )
        for judge in all_judges(evidence)
        if (own := judge.itself)
    ]


def _of_run(evidence: Evidence, persons: Sequence[Person]) -> _Marked:
    """The marks of judges and people on the answers to the run's questions."""
    stage = judging(evidence, "evaluation")
    final = {
        answer.id: answer
        for answer in final_answers(evidence, evidence.arms())
        # Files of a stage may be gone: of such an answer nothing can be told.
        if answer.question_id in evidence.questions
    }
    rows = [*evidence.judgements, *(row for person in persons for row in person.marks)]
    of_people = (person.protocol for person in persons if person.protocol.kind == "absolute")
    return _Marked(
        "",
        [*stage.protocols, *of_people],
        [row for row in rows if row.answer_id in final],
        final,
        evidence.questions,
        dict(stage.models),
        {"": _SCALE},
    )


def _of_controls(evidence: Evidence, persons: Sequence[Person]) -> list[_Marked]:
    """The marks on answers to benchmarks, by prompt: each prompt has a scale of its own, and people
    mark on that of the judges.
    """
    stage, finished = judging(evidence, "controls"), evidence.finished
    by_prompt: dict[str, list[JudgeProtocol]] = defaultdict(list)
    for protocol in stage.protocols:
        by_prompt[protocol.prompts[0][0]].append(protocol)
    questions = {q.id: q for q in finished.read("controls", "questions", Question)}
    answers = {
        a.id: a for a in finished.read("controls", "answers", Answer) if a.question_id in questions
    }
    rows = [
        row
        for row in finished.rows("controls", "judgements", Judgement, "id")
        if row.answer_id in answers
    ]
    by_hand = [(p.protocol, row) for p in persons for row in p.marks if row.answer_id in answers]
    sets = read_sets(finished.run.stage("controls")) if "controls" in finished.stages else {}
    scales = {key: one.scale for key, one in sets.items()}
    found = []
    for name, protocols in [*sorted(by_prompt.items()), (_SHEET, [])]:
        labels = {one.label for one in protocols}
        marks = [row for row in rows if row.protocol in labels]
        judged = {row.answer_id for row in marks}
        # What no judge marked stands by itself.
        own = [one for one in by_hand if name == _SHEET or one[1].answer_id in judged]
        by_hand = [one for one in by_hand if one not in own]
        everybody = [*protocols, *dict.fromkeys(protocol for protocol, _ in own)]
        marks += [row for _, row in own]
        if everybody:
            models = dict(stage.models)
            found.append(_Marked(name, everybody, marks, answers, questions, models, scales))
    return found


def _of_marks(marked: _Marked, known: Sequence[Judge]) -> list[dict[str, Any]]:
    reports = (
        report_on_marks(protocol, marked.marks, marked.answers, marked.questions, marked.models)
        for protocol in marked.protocols
        if any(row.protocol == protocol.label for row in marked.marks)
    )
    return [{**_row(report, known), "of": marked.of} for report in reports]


def _against_reference(
    marked: _Marked, scores: Sequence[Score], known: Sequence[Judge]
) -> list[dict[str, Any]]:
    """For each judge: of the answers that are the reference itself (``exact`` is 1), how many it
    marked low, and of those that do not contain it, how many it marked high.
    """
    values: dict[str, dict[str, float]] = defaultdict(dict)
    for score in scores:
        if score.value is not None:
            values[score.scorer][score.answer_id] = score.value
    same = {name for name, value in values["exact"].items() if value == 1}
    # An answer that is not the reference may hold it.
    without = {n for n, value in (values["containment"] or values["exact"]).items() if value == 0}
    by_judge, rows = marks_by_answer(marked.marks), []
    for protocol in marked.protocols:
        given = by_judge.get((protocol.judge, protocol.label), {})
        told = {name: mark for name, mark in given.items() if mark is not None}
        row = {
            "same": len(same & told.keys()),
            "same_marked_low": sum(told[name] <= _LOW for name in same & told.keys()),
            "without": len(without & told.keys()),
            "without_marked_high": sum(told[name] >= _HIGH for name in without & told.keys()),
        }
        if row["same"] or row["without"]:
            rows.append({**label(protocol, known), **row, "low": _LOW, "high": _HIGH})
    return rows


def _of_comparisons(evidence: Evidence, known: Sequence[Judge]) -> list[dict[str, Any]]:
    """Pairs of answers to the run's questions and to benchmarks stand apart, as marks do."""
    found, models = compared(evidence), dict(judging(evidence, "comparisons").models)
    origins: dict[bool, list[Comparison]] = {False: [], True: []}
    for row in found.comparisons:
        origins[bool(found.questions[row.question_id].benchmark)].append(row)
    return [
        {
            **_row(
                report_on_comparisons(protocol, rows, found.answers, found.questions, models), known
            ),
            "of": _prompt_of(protocol) if of_benchmarks else "",
        }
        for of_benchmarks, rows in origins.items()
        for protocol in dict.fromkeys(found.protocols)
        if any(row.protocol == protocol.label for row in rows)
    ]


def _prompt_of(protocol: JudgeProtocol) -> str:
    return protocol.prompts[0][0] if protocol.prompts else _SHEET


def _row(report: JudgeReport, known: Sequence[Judge]) -> dict[str, Any]:
    """A judge in one of its two roles, with what there is to be said against it."""
    protocol = report.protocol
    judge = next((judge for judge in known if judge.identity == protocol.judge), None)
    return {
        **label(protocol, known),
        "kind": protocol.kind,
        "identity": protocol.judge,
        "protocol": protocol.label,
        "parser": protocol.parser,
        "reference": protocol.reference,
        "settings": None if is_person(protocol) else _settings(protocol),
        "rows": report.rows,
        "failed": sum(report.failed.values()),
        "reasons": report.failed,
        "orders": _orders(report.orders),
        "length": {
            **asdict(report.length),
            "share": as_figure(report.length.share),
        },
        "own_family": _family(report.own_family),
        "is_teacher": judge is not None and judge.is_teacher,
        "itself": dict(judge.itself) if judge is not None else {},
        "warnings": _warnings(report, judge),
    }


def _settings(protocol: JudgeProtocol) -> dict[str, Any]:
    """What the recipe decides of how a model judges."""
    return {
        "max_tokens": protocol.sampling.max_tokens,
        "repeats": protocol.repeats,
        "expected": protocol.expected,
    }


def _orders(found: OrderConsistency | None) -> dict[str, Any] | None:
    if found is None:
        return None
    figures = {"kappa": as_figure(found.kappa), "first_won": as_figure(found.first_won)}
    return {**asdict(found), **figures}


def _family(found: SelfPreference | None) -> dict[str, Any] | None:
    """None where nothing of the judge's family stood against something else."""
    if found is None or not found.pairs:
        return None
    figures = {
        "by_itself": as_figure(found.by_itself),
        "beyond_others": as_figure(found.beyond_others),
    }
    return {**asdict(found), "arms": list(found.arms), **figures}


def _warnings(report: JudgeReport, judge: Judge | None) -> list[str]:
    """What a reader has to know before believing this judge, by name."""
    orders, family = report.orders, report.own_family
    places = orders.first_won if orders else None
    beyond = family.beyond_others if family else None
    said = {
        "itself": judge is not None and bool(judge.itself),
        "teacher": judge is not None and judge.is_teacher,
        "unread": not is_person(report.protocol)
        and sum(report.failed.values()) > _MANY_FAILED * max(1, report.rows),
        "first": places is not None and places.low is not None and places.low > 0.5,
        "second": places is not None and places.high is not None and places.high < 0.5,
        "unlike": orders is not None
        and orders.pairs - orders.agreeing > _MANY_UNLIKE * orders.pairs,
        "family": beyond is not None and beyond.low is not None and beyond.low > 0,
    }
    return [name for name, holds in said.items() if holds]


def _agreement(marked: _Marked, known: Sequence[Judge]) -> dict[str, Any] | None:
    """How the marks of all judges and people go together; None with fewer than two of them."""
    marks = marks_by_answer(marked.marks)
    if len(marks) < 2:
        return None
    table = align(marks)
    found = judges_agreement(table, {name: marked.cluster(name) for name in table.answers})
    protocols = {protocol.label: protocol for protocol in marked.protocols}
    return {
        "of": marked.of,
        "alpha": as_figure(found.alpha),
        "pairs": [
            {
                "one": label(protocols[one[1]], known),
                "other": label(protocols[other[1]], known),
                **_figures(agreement),
            }
            for (one, other), agreement in found.pairs.items()
            if agreement.n and one[1] in protocols and other[1] in protocols
        ],
    }


def _figures(agreement: Agreement) -> dict[str, Any]:
    names = ("exact", "within_one", "shift", "kappa", "quadratic_kappa", "spearman")
    return {"n": agreement.n, **{name: as_figure(getattr(agreement, name)) for name in names}}


def _powered(
    marked: _Marked, persons: Sequence[Person], known: Sequence[Judge]
) -> list[dict[str, Any]]:
    """For each person, judge, benchmark, arm and condition: the mean that the person's marks would
    have on all answers, from those that were marked and the judge's marks of all.
    """
    by_judge = marks_by_answer(marked.marks)
    asked = [one for one in marked.protocols if not is_person(one)]
    rows = []
    for person, protocol in product(persons, asked):
        given = {row.answer_id: row.score for row in person.marks}
        judged = by_judge.get((protocol.judge, protocol.label), {})
        for (of, arm, condition), answers in _groups(marked, judged, given).items():
            found = prediction_powered_mean(
                [given.get(answer.id) for answer in answers],
                [float(judged[answer.id] or 0) for answer in answers],
                [marked.cluster(answer.id) for answer in answers],
                marked.scales[of],
            )
            if found is not None:
                rows.append(
                    {
                        "person": label(person.protocol, known),
                        "judge": label(protocol, known),
                        "of": of,
                        "arm": arm,
                        "condition": condition,
                        "answers": len(answers),
                        "powered": as_figure(found.interval),
                        "marked_only": as_figure(found.marked_only),
                        "predicted": rounded(found.predicted),
                        "weight": rounded(found.weight),
                    }
                )
    return rows


def _groups(
    marked: _Marked,
    judged: Mapping[str, float | None],
    given: Mapping[str, float | None],
) -> dict[tuple[str, str, str], list[Answer]]:
    """The answers that the judge marked by benchmark, arm and condition, where a person marked any
    of them.
    """
    groups: dict[tuple[str, str, str], list[Answer]] = defaultdict(list)
    for answer_id, mark in sorted(judged.items()):
        if mark is not None:
            answer = marked.answers[answer_id]
            groups[marked.benchmark(answer_id), answer.arm, answer.condition].append(answer)
    return {
        key: answers
        for key, answers in sorted(groups.items())
        if any(given.get(answer.id) is not None for answer in answers)
    }


def _calibrated(evidence: Evidence, known: Sequence[Judge]) -> dict[str, Any] | None:
    """How each judge agrees with marks or verdicts that were known before."""
    summary, stage = evidence.stages.get("calibration"), judging(evidence, "calibration")
    if summary is None:
        return None
    finished = evidence.finished
    questions = {q.id: q for q in finished.read("calibration", "questions", Question)}
    answers = {a.id: a for a in finished.read("calibration", "answers", Answer)}
    clusters = {a.id: cluster_of(questions[a.question_id]) for a in answers.values()}
    names = [*known, *stage.judges]
    rows = []
    for protocol in stage.protocols:
        found: list[dict[str, Any]]
        if protocol.kind == "absolute":
            found = _against_marks(evidence, protocol, clusters)
        else:
            found = _against_verdicts(evidence, protocol, questions)
        rows += [{**label(protocol, names), "kind": protocol.kind, **one} for one in found]
    return {"source": summary["notes"]["source"], "rows": rows}


def _against_marks(
    evidence: Evidence, protocol: JudgeProtocol, clusters: Mapping[str, str]
) -> list[dict[str, Any]]:
    finished = evidence.finished
    given = finished.rows("calibration", "judgements", Judgement, "id")
    own = marks_by_answer(given).get((protocol.judge, protocol.label), {})
    known = finished.rows("calibration", "known_marks", Judgement, "id")
    rows = []
    for by, marks in _by_rater(known, lambda row: row.answer_id):
        right = {row.answer_id: row.score for row in marks if row.score is not None}
        found = calibrate(own, right, clusters)
        rows.append({"by": by, **_figures(found.agreement), "unmarked": found.unmarked})
    return rows


def _against_verdicts(
    evidence: Evidence,
    protocol: JudgeProtocol,
    questions: Mapping[str, Question],
) -> list[dict[str, Any]]:
    finished = evidence.finished
    orders = int(evidence.stages["calibration"]["notes"]["orders"])
    compared = finished.rows("calibration", "comparisons", Comparison, "id")
    own = verdicts([row for row in compared if row.protocol == protocol.label], protocol.orders)
    known = finished.rows("calibration", "known_verdicts", Comparison, "id")
    rows = []
    for by, given in _by_rater(known, lambda row: (row.first_answer_id, row.second_answer_id)):
        right = {v.answers: v.winner for v in verdicts(given, orders) if v.winner is not None}
        found: VerdictAgreement = verdict_agreement(own, right, questions)
        rows.append(
            {
                "by": by,
                **asdict(found),
                "kappa": as_figure(found.kappa),
                "unmarked": sum(verdict.winner is None for verdict in own),
            }
        )
    return rows


def _by_rater(
    known: Sequence[Rated], shown: Callable[[Rated], Hashable]
) -> list[tuple[str, list[Rated]]]:
    """What is known, together; by who said it, where several spoke of the same answers."""
    if len({shown(row) for row in known}) == len(known):
        return [("", list(known))]
    found: dict[str, list[Rated]] = defaultdict(list)
    for row in known:
        found[row.judge].append(row)
    return sorted(found.items())
