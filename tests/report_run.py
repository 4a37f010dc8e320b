"""A small finished run, written with the functions that the stages use.

The documents are made up: cafés' drinks with a price. ``value`` decides how right each answer
is, so that a test can say what the report must find.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teichaku.core.records import (
    Answer,
    Document,
    Dropped,
    Example,
    Judgement,
    Passage,
    Question,
    Score,
    TrainingLoss,
)
from teichaku.core.run_folder import RunFolder, dropped

DRINKS = ("柚子茶", "麦茶", "甘酒", "梅ソーダ", "抹茶ラテ", "生姜湯", "紅茶", "焙じ茶")
CATEGORIES = ("値段", "量")

#: arm, checkpoint, condition, question -> share of right (None: the answer failed)
Value = Callable[[str, str, str, Question], float | None]


@dataclass(frozen=True)
class Plan:
    """What the run holds. ``arms`` maps an arm's name to its learning rate."""

    value: Value
    documents: int = 6
    kinds: Sequence[str] = ("trained", "held_out")
    conditions: Sequence[str] = ("closed_book", "open_book")
    arms: Sequence[tuple[str, float]] = (("qa@learning_rate=0.001", 0.001),)
    epochs: int = 2
    judged: bool = True
    passage: str = ""
    scorer: str = "containment"
    unfinished: Sequence[str] = ()
    shared_unseen: int = 0


def gain(arm: str, checkpoint: str, condition: str, question: Question) -> float | None:
    """The usual case: the base knows nothing, the tuned model all, the open book half."""
    if condition == "open_book":
        return 1.0 if question.category == CATEGORIES[0] else 0.0
    return 0.0 if checkpoint == "base" else 1.0


def write_run(folder: Path, plan: Plan) -> RunFolder:
    """Write the run at ``folder``. The files of its unfinished stages are there all the same,
    as a recipe that was changed leaves them.
    """
    run = RunFolder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    run.begin_stages()
    (folder / "recipe.yaml").write_text("name: 飲み物\nlanguage: ja\n", encoding="utf-8")
    run.write_json("run.json", run_description(plan))
    passages = [_passage(number, plan) for number in range(plan.documents)]
    questions = [question for passage in passages for question in _questions(passage, plan)]
    _write_data(run, passages, questions, plan)
    for arm, rate in plan.arms:
        _write_training(run, arm, rate, plan)
    _write_evaluation(run, questions, plan)
    listed = run.read_json("stages.json")
    run.write_json("stages.json", {n: m for n, m in listed.items() if n not in plan.unfinished})
    return run


def run_description(plan: Plan) -> dict[str, Any]:
    """What ``run.json`` says."""
    return {
        "name": "飲み物",
        "language": "ja",
        "command": "teichaku run drinks.yaml",
        "started": "2030-01-01T00:00:00+00:00",
        "finished": "2030-01-01T00:05:00+00:00",
        "profile": "small",
        "seed": 0,
        "teichaku": "0.1.0",
        "python": "3.11.2",
        "commit": "abc123",
        "machine": {"cores": 2, "memory_gib": 24.0, "processor": "CPU", "accelerator": "none"},
        "versions": {"torch": "2.13.0", "altair": "6.3.0"},
        "models": [
            _model("teacher", "writer-1b", "apache-2.0"),
            _model("judge", "writer-1b", "apache-2.0"),
            {**_model("student", "pupil-270m", "gemma"), "terms_notice": "Terms apply."},
        ],
        "arms": [
            {"name": arm, "student": "pupil", "data": "qa", "settings": {"learning_rate": rate}}
            for arm, rate in plan.arms
        ],
        "stages": [
            *("documents", "synthesis/qa", "curation/qa", "questions"),
            *(f"training/{arm}" for arm, _ in plan.arms),
            "evaluation",
        ],
        "base_arms": ["base"],
        "headline_scorer": plan.scorer,
        "documents": {"licences": {"CC0 1.0": plan.documents}, "attributions": ["出典：飲み物"]},
    }


def _model(role: str, name: str, licence: str) -> dict[str, str]:
    return {
        "role": role,
        "name": name,
        "identity": f"scripted:{name}",
        "backend": "scripted",
        "licence": licence,
        "licence_url": "https://example.org/licence",
        "terms_notice": "",
    }


def _passage(number: int, plan: Plan) -> Passage:
    name = DRINKS[number % len(DRINKS)]
    text = plan.passage or f"{name}は{300 + 10 * number}円です。量は{150 + number}mlです。"
    return Passage(f"p{number}", f"d{number}", 0, name, text, f"drinks/{number}.txt", "CC0 1.0")


def _questions(passage: Passage, plan: Plan) -> Iterator[Question]:
    number = passage.document_id.removeprefix("d")
    for kind in plan.kinds:
        for category in CATEGORIES:
            place = CATEGORIES.index(category)
            asked = f"{passage.title}の{category}はいくらですか。（{kind}）"
            reference = (f"{300 + 10 * int(number)}円", f"{150 + int(number)}ml")[place]
            yield Question(
                f"q{number}-{kind}-{place}",
                kind,  # type: ignore[arg-type]
                passage.document_id,
                passage.id,
                f"e{number}-{place}",
                asked,
                reference,
                category,
            )


def _finish(
    run: RunFolder, name: str, position: int, kept: int, lost: Sequence[Dropped], **notes: object
) -> None:
    folder = run.stage(name)
    folder.write("dropped", Dropped, lost)
    reasons: dict[str, int] = {}
    for row in lost:
        reasons[row.reason] = reasons.get(row.reason, 0) + 1
    counts = {"in": kept + len(lost), "out": kept, "dropped": len(lost), "reasons": reasons}
    summary = {"stage": name, "position": position, "counts": counts, "notes": notes}
    timing = {
        "seconds": 1.5 * position,
        "requests": 10,
        "cached_requests": 4,
        "cached_tokens": 500,
        "prompt_tokens": 1000,
        "completion_tokens": 200,
    }
    run.write_json(f"{name}/timing.json", timing)
    folder.finish("made-from", summary)
    run.add_stage(name, "made-from")


def _write_data(
    run: RunFolder, passages: list[Passage], questions: list[Question], plan: Plan
) -> None:
    documents = [Document(p.document_id, p.source, p.title, p.text, p.licence) for p in passages]
    run.stage("documents").write("documents", Document, documents)
    run.stage("documents").write("passages", Passage, passages)
    _finish(run, "documents", 1, len(documents), [], passages=len(passages))
    examples = [
        Example(q.example_id, q.document_id, q.passage_id, "document_qa", q.question, q.reference)
        for q in questions
        if q.kind == "trained"
    ]
    vague = [
        Example(f"x{number}", "d0", "p0", "document_qa", "この飲み物の値段は？", f"{number}円")
        for number in range(4)
    ]
    lost = [
        dropped(row, "curation", "not_self_contained", "「この」が指す名前がない") for row in vague
    ]
    run.stage("synthesis/qa").write("examples", Example, [*examples, *vague])
    _finish(run, "synthesis/qa", 2, len(examples) + len(vague), [], requests=len(passages))
    run.stage("curation/qa").write("examples", Example, examples)
    _finish(run, "curation/qa", 3, len(examples), lost)
    run.stage("questions").write("questions", Question, questions)
    check = {
        "questions": sum(q.kind == "held_out" for q in questions),
        "leaks": 0,
        "unseen": sum(q.kind == "unseen" for q in questions),
        "unseen_sharing_a_neighbourhood": plan.shared_unseen,
    }
    _finish(run, "questions", 4, len(questions), [], leak_check=check)


def _write_training(run: RunFolder, arm: str, rate: float, plan: Plan) -> None:
    losses = [
        TrainingLoss(step, 1 + step // 4, rate, 3.0 / (1 + step), 40, 120)
        for step in range(4 * plan.epochs)
    ]
    run.stage(f"training/{arm}").write("losses", TrainingLoss, losses)
    notes = {
        "tokens_seen": 960,
        "tokens_cut": 0,
        "tokens_padded": 80,
        "labelled_tokens": 320,
    }
    _finish(run, f"training/{arm}", 5, 12, [], **notes)


def _write_evaluation(run: RunFolder, questions: list[Question], plan: Plan) -> None:
    answers: list[Answer] = []
    scores: list[Score] = []
    judgements: list[Judgement] = []
    for arm, checkpoint, condition in _rounds(plan):
        for question in questions:
            value = plan.value(arm, checkpoint, condition, question)
            answer = _answer(question, arm, checkpoint, condition, value)
            answers.append(answer)
            scores += _scores(answer, question, value, plan.judged)
            if plan.judged and value is not None:
                judgements.append(_judgement(answer, value))
    folder = run.stage("evaluation")
    folder.write("answers", Answer, answers)
    folder.write("scores", Score, scores)
    folder.write("judgements", Judgement, judgements)
    lost = [dropped(row, "evaluation", "request_failed", row.error) for row in answers if row.error]
    selected = {arm: checkpoint for arm, checkpoint, _ in _rounds(plan) if arm != "base"}
    notes = {"questions": len(questions), "selected_checkpoints": selected}
    _finish(run, "evaluation", 6, len(answers) - len(lost), lost, **notes)


def _rounds(plan: Plan) -> Iterator[tuple[str, str, str]]:
    yield from (("base", "base", condition) for condition in plan.conditions)
    for arm, _ in plan.arms:
        for epoch in range(1, plan.epochs):
            yield arm, f"epoch-{epoch}", "closed_book"
        for condition in plan.conditions:
            yield arm, f"epoch-{plan.epochs}", condition


def _answer(
    question: Question, arm: str, checkpoint: str, condition: str, value: float | None
) -> Answer:
    return Answer(
        f"{question.id}/{arm}/{checkpoint}/{condition}",
        question.id,
        arm,
        checkpoint,
        condition,  # type: ignore[arg-type]
        "" if value is None else question.reference if value == 1 else "分かりません。",
        error="timed out" if value is None else "",
    )


def _scores(
    answer: Answer, question: Question, value: float | None, judged: bool
) -> Iterator[Score]:
    names = ["containment", "character_f1"] + (["judge"] if judged and value is not None else [])
    for name in names:
        mark = value if name != "judge" or value is None else 1 + 9 * value
        yield Score(
            answer.id,
            question.id,
            answer.arm,
            answer.checkpoint,
            answer.condition,
            question.kind,
            question.category,
            question.document_id,
            name,
            mark,
        )


def _judgement(answer: Answer, value: float) -> Judgement:
    said = "正答と一致しています。" if value == 1 else "質問に答えていません。"
    return Judgement(
        f"j-{answer.id}", answer.id, "scripted:writer-1b", "ja/judge@1", 1 + 9 * value, said
    )
