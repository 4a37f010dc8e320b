"""The verdict and its caveats in words, and the plain-text summary for the terminal."""

from collections import Counter
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from teichaku.core.records import Answer
from teichaku.evaluation.answers import ANSWER_CUT, REQUEST_FAILED, failure_of
from teichaku.report import tables
from teichaku.report.diagnosis import TOLERANCE, Diagnosis
from teichaku.report.evidence import Arm, Evidence, epoch_of
from teichaku.report.study import Cell
from teichaku.report.verdict import (
    MINIMUM_DOCUMENTS,
    MINIMUM_QUESTIONS,
    Verdict,
    margin,
    share_of_scale,
)
from teichaku.report.wording import Wording, columns, padded

#: Advice that speaks of the open book as the best that retrieval could do.
_OF_OPEN_BOOK = ("open_book", "open_book_although", "open_book_untrained")


def sentences(
    verdict: Verdict, scorer: str, words: Wording, diagnosis: Diagnosis | None = None
) -> list[str]:
    """What was found, and what to do, in two parts. Where the ``diagnosis`` weighs what the verdict
    does not know, retrieval or what training costs, the second is its reason.
    """
    if diagnosis is not None and diagnosis.reason != "as_before":
        return [_finding(verdict, scorer, words), _way(diagnosis, verdict, scorer, words)]
    advice = _advice(verdict, scorer, words)
    is_measured = diagnosis is not None and diagnosis.against.instead is not None
    if verdict.advice in _OF_OPEN_BOOK and not is_measured:
        advice = words("verdict_join").join([advice, words("advice.retrieval_unmeasured")])
    return [_finding(verdict, scorer, words), advice]


def _way(diagnosis: Diagnosis, verdict: Verdict, scorer: str, words: Wording) -> str:
    """Why the way is another one than the verdict alone would take."""
    against, controls = diagnosis.against, diagnosis.controls
    instead, adds = against.instead, against.training_adds

    def told(found: tables.Estimate | None) -> str:
        return words.told(found.value if found else None, scorer)

    def interval(cell: Cell | None) -> str:
        return words.change_interval(_as_dict(cell.difference) if cell else None, scorer)

    own = controls.scorer if controls else scorer
    lost = _as_dict(controls.difference) if controls else None
    figures = {
        **_loss_figures(diagnosis, words),
        "closed": told(instead.base if instead else None),
        "retrieved": told(instead.tuned if instead else None),
        "both": told(adds.tuned if adds else None),
        "open": told(verdict.opened.tuned if verdict.opened else None),
        "gap": interval(instead),
        "over_closed": interval(against.retrieval_adds),
        "over_retrieved": interval(adds),
        "margin": words.distance(margin(scorer), scorer),
        "control": words.change(lost, own),
        "control_interval": words.change_interval(lost, own),
    }
    reasons = [f"way_reasons.{diagnosis.reason}"]
    if diagnosis.reason == "training_forgets" and diagnosis.loss is not None:
        lead = "forgets" if diagnosis.loss in ("ability", "both") else "unfits"
        reasons = [f"way_reasons.training_{lead}", *_of_loss(diagnosis)]
    if diagnosis.way == "retrieve" and diagnosis.reason != "retrieval_better":
        reasons.append("way_reasons.instead")
    return words("verdict_join").join(words(name, **figures) for name in reasons)


def _of_loss(diagnosis: Diagnosis) -> list[str]:
    """The texts that say what was lost, and whether there was anything to lose."""
    lost = [] if diagnosis.loss is None else [f"losses.{diagnosis.loss}"]
    return [*lost, *(["guessing"] if diagnosis.is_hidden_by_guessing else [])]


def _loss_figures(diagnosis: Diagnosis, words: Wording) -> dict[str, Any]:
    """What the texts of :func:`_of_loss` tell of."""
    controls, replies = diagnosis.controls, diagnosis.replies
    own = controls.scorer if controls else ""
    figures = {"tolerance": words.distance(share_of_scale(own, TOLERANCE), own)}
    if controls is None or replies is None or replies.unread.tuned is None:
        return figures
    answers = asdict(replies.in_answers)
    return {
        **figures,
        "before": words.share(controls.base.value, own),
        "before_interval": words.interval(asdict(controls.base), own),
        "floor": words.share(replies.floor, own),
        "unread_before": words.share(replies.unread.base.value, own),
        "unread_after": words.share(replies.unread.tuned.value, own),
        "n": words.count(replies.unread.base.n),
        "in_answers": words.change(answers, own),
        "in_answers_interval": words.change_interval(answers, own),
    }


def diagnosis_in_words(diagnosis: Diagnosis, words: Wording) -> dict[str, Any]:
    """What became of what was taught and of what was known, and what to change."""
    controls, known = diagnosis.controls, _loss_figures(diagnosis, words)
    ability, figures = str(diagnosis.ability), ""
    if ability == "kept" and diagnosis.above_guessing is False:
        ability = "kept_guessing"
    if controls is not None and controls.difference is not None and controls.tuned is not None:
        difference = asdict(controls.difference)
        figures = words(
            "diagnosis.figures",
            before=words.share(controls.base.value, controls.scorer),
            after=words.share(controls.tuned.value, controls.scorer),
            difference=words.change(difference, controls.scorer),
            interval=words.change_interval(difference, controls.scorer),
            size=words.size(difference),
        )
    return {
        "taught": words(f"knowledge.{diagnosis.knowledge}"),
        "able": words("verdict_join").join(
            words(name, **known) for name in (f"ability.{ability}", *_of_loss(diagnosis))
        ),
        "able_figures": figures,
        "change": [words(f"remedies.{name}") for name in diagnosis.remedies],
        "tolerance": known["tolerance"],
    }


def _finding(verdict: Verdict, scorer: str, words: Wording) -> str:
    shown, outcome = verdict.shown, verdict.outcome
    if outcome in ("no_scores", "unfinished", "no_questions"):
        return words(f"verdict.{outcome}")
    if shown is None or (shown.tuned is None and outcome != "no_training"):
        return words(f"verdict.{outcome}_unmeasured")
    has_more = outcome in ("worse", "learnt", "unseen_only") and verdict.beside
    key = f"{outcome}_although" if has_more else outcome
    return words(f"verdict.{key}", **_figures(shown, verdict.beside, scorer, words))


def _figures(shown: Cell, beside: Cell | None, scorer: str, words: Wording) -> dict[str, Any]:
    difference = _as_dict(shown.difference)
    other = _as_dict(beside.difference) if beside else None
    return {
        "kind": words.label("kinds_in_sentence", shown.question_kind),
        "scorer": words.label("scorers_in_sentence", scorer),
        "before": words.share(shown.base.value, scorer),
        "after": words.share(shown.tuned.value if shown.tuned else None, scorer),
        "difference": words.change(difference, scorer),
        "interval": words.change_interval(difference, scorer),
        "size": words.size(difference or asdict(shown.base)),
        "margin": words.distance(margin(scorer), scorer),
        "other": words.label("kinds_in_sentence", beside.question_kind) if beside else "",
        "other_difference": words.change(other, scorer),
        "other_interval": words.change_interval(other, scorer),
    }


def _as_dict(found: tables.Estimate | None) -> dict[str, Any] | None:
    return None if found is None else asdict(found)


def _advice(verdict: Verdict, scorer: str, words: Wording) -> str:
    opened = verdict.opened
    return words(
        f"advice.{verdict.advice}",
        closed=words.told(opened.base.value if opened else None, scorer),
        open=words.told(opened.tuned.value if opened and opened.tuned else None, scorer),
        gap=words.change_interval(_as_dict(opened.difference) if opened else None, scorer),
        margin=words.distance(margin(scorer), scorer),
        questions=MINIMUM_QUESTIONS,
        documents=MINIMUM_DOCUMENTS,
    )


def caveats(
    evidence: Evidence,
    best: Arm | None,
    scorer: str,
    judge: dict[str, Any] | None,
    counts: list[dict[str, Any]],
    words: Wording,
    leaves_told_out: bool = False,
) -> list[str]:
    """What a reader has to know before relying on the verdict on ``scorer``, which
    ``leaves_told_out`` the unseen questions that running text answers.
    """
    found = []
    if evidence.unfinished:
        found.append(words("caveats.unfinished", stages=", ".join(evidence.unfinished)))
    wanted = str(evidence.run.get("headline_scorer") or scorer)
    if evidence.scores and wanted != scorer:
        told = {
            name: words.label("scorers", key)
            for name, key in (("wanted", wanted), ("scorer", scorer))
        }
        found.append(words("caveats.headline", **told))
    candidates = _candidates(evidence)
    if best and candidates > 1:
        chosen = {"arm": best.name, "checkpoint": best.checkpoint, "candidates": candidates}
        found.append(words("caveats.selected", **chosen))
    if judge:
        told = {"judge": judge["name"], **judge}
        found += [words("caveats.judge_is_teacher", **told)] if judge["is_teacher"] else []
        found += [words("caveats.judge_failed", **told)] if judge["failed"] else []
    failed = [answer for answer in evidence.answers if answer.error]
    if lost := sum(failure_of(answer) == REQUEST_FAILED for answer in failed):
        found.append(words("caveats.answers_failed", failed=lost))
    found += _cut_caveats(evidence, words)
    wrong = [row["stage"] for row in counts if row["adds_up"] is False]
    if wrong:
        found.append(words("caveats.counts", stages=", ".join(wrong)))
    found += _empty_caveats(counts, words)
    told_ids = told_in_text(evidence, best)
    if told_ids:
        unseen = sum(question.kind == "unseen" for question in evidence.questions.values())
        key = "unseen_left_out" if leaves_told_out else "unseen_told"
        found.append(words(f"caveats.{key}", told=len(told_ids), unseen=unseen))
    return [*found, *_leak_caveats(counts, words)]


def _cut_caveats(evidence: Evidence, words: Wording) -> list[str]:
    """The models whose limit ended some answer before it began, wherever they were asked."""
    stages = ("controls", "unanswerable")
    others = (
        answer for stage in stages for answer in evidence.finished.read(stage, "answers", Answer)
    )
    asked, cut = Counter[str](), Counter[str]()
    for answer in chain(evidence.answers, others):
        asked[answer.arm] += 1
        cut[answer.arm] += bool(answer.error) and failure_of(answer) == ANSWER_CUT
    return [
        words("caveats.answers_cut", model=arm, cut=count, answers=asked[arm])
        for arm, count in sorted(cut.items())
        if count
    ]


def told_in_text(evidence: Evidence, best: Arm | None) -> frozenset[str]:
    """The ids of the unseen questions that running text answers which ``best`` trained on."""
    notes = evidence.stages.get("questions", {}).get("notes") or {}
    by_arm = (notes.get("leak_check") or {}).get("unseen_told_in_text") or {}
    told = set(by_arm.get(best.data, ())) if best else set()
    return frozenset(
        question.id
        for question in evidence.questions.values()
        if question.kind == "unseen" and question.example_id in told
    )


def _empty_caveats(counts: list[dict[str, Any]], words: Wording) -> list[str]:
    """The kinds of questions that the recipe asks for and that have none."""
    empty = [kind for row in counts for kind in row["notes"].get("empty_kinds") or ()]
    return [
        words("caveats.empty_kind", kind=words.label("kinds_in_sentence", kind)) for kind in empty
    ]


def _leak_caveats(counts: list[dict[str, Any]], words: Wording) -> list[str]:
    """What of the questions stands in the training text."""
    found = []
    for check in (row["notes"].get("leak_check") or {} for row in counts):
        if check.get("leaks"):
            found.append(words("caveats.leaks", **check))
        shared = check.get("unseen_sharing_a_neighbourhood")
        if shared:
            found.append(words("caveats.unseen_shared", shared=shared, unseen=check["unseen"]))
        seen = check.get("independent_seen_in_training")
        if seen:
            asked = check["independent"]
            found.append(words("caveats.independent_seen", seen=seen, independent=asked))
    return found


def _candidates(evidence: Evidence) -> int:
    """How many checkpoints the best one was chosen from; an arm that by its recipe keeps its
    last checkpoint offers one.
    """
    told = evidence.run.get("arms") or ()
    kept = {arm.get("name") for arm in told if arm.get("select") == "last"}
    offered = {
        (row.arm, "" if row.arm in kept else row.checkpoint)
        for row in evidence.scores
        if epoch_of(row.checkpoint) > 0
    }
    return len(offered)


def summary_lines(report: dict[str, Any], folder: Path | None = None) -> list[str]:
    """The report in a few plain lines for a terminal, in its own language.

    ``report`` is what :func:`teichaku.report.build.build_report` returned; with ``folder``,
    the run's folder, the last line tells where the page lies.
    """
    words = Wording(report["language"])
    headline = report["headline"]
    lines = [f"{words('summary.verdict')}: {words.label('decisions', headline['decision'])}"]
    lines += [f"  {sentence}" for sentence in headline["sentences"]]
    lines += _diagnosis_lines(headline["diagnosis"], words)
    lines += [f"  * {caveat}" for caveat in headline["caveats"]]
    lines.append("")
    if headline["best_arm"] is not None:
        best = {"arm": headline["best_arm"], "checkpoint": headline["checkpoint"]}
        lines.append(words("summary.best", **best))
    if any(row["condition"] == "closed_book" for row in report["comparisons"]):
        lines += [*_table(_summary_rows(report, words)), ""]
    lines.append(_cost(report["timing"], words))
    if folder is not None:
        lines.append(f"{words('summary.report')}: {folder / 'report' / 'index.html'}")
    return lines


def _cost(timing: dict[str, Any], words: Wording) -> str:
    """What the run took, and what was paid for it before."""
    total, spent = timing["total"], timing["spent"].get("tokens")
    names = ("requests", "cached_requests", "cached_tokens", "prompt_tokens", "completion_tokens")
    told = {name: words.count(total[name]) for name in names}
    text = words("summary.cost", duration=words.duration(total["seconds"]), **told)
    return text + words("summary.spent", tokens=words.count(spent)) if spent else text


def _diagnosis_lines(diagnosis: dict[str, Any] | None, words: Wording) -> list[str]:
    """The diagnosis for the terminal; nothing where nothing was trained."""
    if diagnosis is None:
        return []
    said = diagnosis["said"]
    lines = [
        f"{words('diagnosis.taught')}: {said['taught']}",
        f"{words('diagnosis.able')}: {said['able']}{said['able_figures']}",
    ]
    if said["change"]:
        lines.append(f"{words('diagnosis.change')}:")
        lines += [f"  - {remedy}" for remedy in said["change"]]
    return lines


def _summary_rows(report: dict[str, Any], words: Wording) -> list[list[str]]:
    """Closed book by kind and scorer, with the base model's open book at the end."""
    opened = {
        (item["question_kind"], item["scorer"]): item["base"]
        for item in report["comparisons"]
        if item["condition"] == "open_book"
    }
    has_best = report["headline"]["best_arm"] is not None
    names = ["question_kind", "scorer", "base", *(["best", "difference"] if has_best else [])]
    head = [words(f"columns.{name}") for name in names]
    rows = [[*head, *([words("axes.open_book")] if opened else []), words("columns.size")]]
    for item in report["comparisons"]:
        kind, scorer = item["question_kind"], item["scorer"]
        if kind == tables.ALL_KINDS or item["condition"] != "closed_book":
            continue
        row = [words.label("kinds", kind), words.label("scorers", scorer)]
        row.append(_with_interval(item["base"], scorer, words))
        if has_best:
            row.append(_with_interval(item["tuned"], scorer, words))
            interval = words.change_interval(item["difference"], scorer)
            change = words.change(item["difference"], scorer)
            row.append(f"{change} ({interval})" if interval else change)
        if opened:
            row.append(_with_interval(opened.get((kind, scorer)), scorer, words))
        rows.append([*row, words.size(item["difference"] or item["base"])])
    return rows


def _with_interval(found: dict[str, Any] | None, scorer: str, words: Wording) -> str:
    if found is None:
        return words.share(None, scorer)
    interval = words.interval(found, scorer)
    value = words.share(found["value"], scorer)
    return f"{value} ({interval})" if interval else value


def _table(rows: list[list[str]]) -> list[str]:
    if len(rows) < 2:
        return []
    widths = [max(columns(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(padded(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
