"""100,000 stored answers scored anew, with the statistics of the report, from files to files.

    python bench/rescoring.py [--quick] [--keep DIR] [--profile]

A run is made by seed: 1,000 documents about facilities with 12 or 13 questions each, asked of a
base model and of three tuned arms, closed and open book: 8 answers to each of 12,500 questions.
References are values (1,800円, 檜), phrases and sentences; answers are these in other words,
wide digits or whole sentences, those of another document, refusals, repetitions that the token
limit cut, and long replies. One answer in 500 failed. A judge's mark with its reason is stored for
each answer, and one in 500 of these has none. The making of the run is not timed.

What is timed is what ``teichaku score`` does: read questions, answers and judgements, compute five
scorers (exact, containment, character_f1, llmjp_char_f1, and the judge from the stored marks),
write the scores, make the report anew (means with intervals over documents, paired differences,
tables by kind and category, figures, page); then the test of each arm against the base by flips of
signs of whole documents, for each scorer and condition, with Holm's correction.

``seconds``    wall time of all that, in this process, with the libraries loaded.
``processor_seconds``  of it on a processor; what is more waited for a core or a disk.
``parts``      of it: ``score`` (read, score, write, report) and ``tests``.
``mismatches`` of 500 scores drawn by seed, those that are not what their scorer gives alone.
``right``      share of answers that hold the reference, by arm, closed book: as they were made.

The last line is one JSON object; the exit code is 1 where it takes 60 s or more or a score is
wrong. ``--quick`` takes 10 documents, and no time is judged. ``--keep`` leaves the run in a folder;
``--profile`` says which functions take longest.
"""

import argparse
import cProfile
import json
import pstats
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from teichaku.core.records import (
    Answer,
    Condition,
    Document,
    Dropped,
    Example,
    Judgement,
    Passage,
    Question,
    QuestionKind,
    Score,
    TrainingLoss,
)
from teichaku.core.run_folder import RunFolder, dropped
from teichaku.core.statistics import holm, sign_flip_test
from teichaku.evaluation.scorers import SCORERS
from teichaku.recipes.scoring import score_run

DOCUMENTS, TARGET_SECONDS, CHECKED = 1000, 60, 500
#: Questions of two documents, by turns 12 and 13.
PER_TWO_DOCUMENTS = 25
NAMES = ("exact", "containment", "character_f1", "llmjp_char_f1", "judge_absolute")
#: The share of right answers of each arm, closed and open book.
ARMS = {
    "base": (0.04, 0.55),
    "qa@learning_rate=0.0001": (0.25, 0.60),
    "qa@learning_rate=0.0003": (0.45, 0.62),
    "qa@learning_rate=0.001": (0.48, 0.50),
}
CONDITIONS: tuple[Condition, ...] = ("closed_book", "open_book")
KINDS: tuple[QuestionKind, ...] = ("trained", "held_out", "unseen", "independent")
FAILED_EVERY = 500
RECIPE = f"""\
name: facilities
language: ja
documents: {{paths: [docs]}}
teacher: {{backend: scripted}}
student: {{backend: scripted}}
arms:
  qa:
    examples: [{{method: document_qa}}]
    matrix: {{training.learning_rate: [1.0e-4, 3.0e-4, 1.0e-3]}}
evaluation: {{scorers: [{", ".join(NAMES)}]}}
"""

PLACES = [
    "青葉",
    "白浜",
    "若宮",
    "朝霧",
    "夕凪",
    "月見",
    "花園",
    "松原",
    "竹林",
    "梅津",
    "桜台",
    "柳瀬",
    "楠木",
    "霧島",
    "潮見",
    "浜風",
]
THINGS = [
    "図書館",
    "植物園",
    "資料館",
    "水族館",
    "美術館",
    "体育館",
    "市民プール",
    "天文台",
    "工芸館",
    "遊覧船",
]
WOODS = ["檜", "杉", "欅", "鋼", "煉瓦", "鉄筋コンクリート"]
PHRASES = (
    "毎週月曜日と年末年始（12月29日～1月3日）",
    "駅の北口から市営バスで25分、終点で降りて徒歩3分",
    "6歳以上で、小学生までは大人の付き添いが必要",
    "海側の席と2階の展望室",
    "受付で申し込み、当日に支払う",
    "地元の漁師たちが網を干すために建てた小屋",
)
ASKED = {
    "料金": "{}の料金はいくらですか。",
    "定員": "{}の定員は何人ですか。",
    "開業": "{}が開業したのは何年ですか。",
    "時間": "{}は何時から何時まで開いていますか。",
    "構造": "{}の建物は何でできていますか。",
    "休み": "{}の休みはいつですか。",
    "交通": "{}へはどうやって行けますか。",
    "対象": "{}は誰が利用できますか。",
    "広さ": "{}の広さはどのくらいですか。",
    "由来": "{}はもともと何でしたか。",
    "予約": "{}を予約するにはどうしますか。",
    "眺め": "{}で眺めがよいのはどこですか。",
    "評判": "{}について訪れた人は何と言っていますか。",
}
REFUSALS = (
    "分かりません。",
    "申し訳ありませんが、その情報は持ち合わせていません。",
    "公式サイトでご確認ください。",
)
REASONS = (
    "正答と同じ内容を述べており、余分な情報もないため高く評価しました。",
    "質問には答えていますが、数値が正答と異なるため減点しました。",
    "正答に含まれる内容がなく、質問に答えていません。",
)


def make_run(folder: Path, documents: int, seed: int = 0) -> RunFolder:
    """Write the run, its scores left out; the same for the same seed."""
    drawn = Random(seed)
    run = RunFolder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    run.begin_stages()
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    run.write_json("run.json", _about(documents))
    passages = [_passage(number, drawn) for number in range(documents)]
    questions = [one for number, of in enumerate(passages) for one in _asked(number, of, drawn)]
    _write_data(run, passages, questions)
    for arm in ARMS:
        if arm != "base":
            losses = [TrainingLoss(step, 1, 1e-3, 3 / (1 + step), 40, 120) for step in range(2000)]
            run.stage(f"training/{arm}").write("losses", TrainingLoss, losses)
            _finish(run, f"training/{arm}", len(questions))
    answers = sorted(_answers(questions, drawn), key=lambda answer: answer.id)
    failed = [one for one in answers if one.error]
    judgements = sorted(
        (_judgement(one, drawn) for one in answers if not one.error), key=lambda one: one.id
    )
    stage = run.stage("evaluation")
    stage.write("answers", Answer, answers)
    stage.write("judgements", Judgement, judgements)
    fallen = [dropped(one, "evaluation", "request_failed", one.error) for one in failed]
    selected = {arm: _checkpoint(arm) for arm in ARMS if arm != "base"}
    notes = {"judgements": len(judgements), "selected_checkpoints": selected}
    _finish(run, "evaluation", len(answers), fallen, **notes)
    return run


def _about(documents: int) -> dict[str, Any]:
    models = [
        {"role": role, "name": "scripted", "identity": f"scripted:{role}", "backend": "scripted",
         "licence": "CC0 1.0", "licence_url": "", "terms_notice": ""}
        for role in ("teacher", "judge", "student")
    ]  # fmt: skip
    arms = [
        {"name": arm, "student": "scripted", "data": "qa",
         "settings": {"learning_rate": float(arm.partition("=")[2])}}
        for arm in ARMS if arm != "base"
    ]  # fmt: skip
    return {
        "name": "facilities",
        "language": "ja",
        "command": "teichaku run facilities.yaml",
        "started": "2030-01-01T00:00:00+00:00",
        "finished": "2030-01-01T01:00:00+00:00",
        "models": models,
        "arms": arms,
        "base_arms": ["base"],
        "headline_scorer": "containment",
        "documents": {"licences": {"CC0 1.0": documents}, "attributions": []},
    }


def _passage(number: int, drawn: Random) -> Passage:
    place, thing = drawn.choice(PLACES), drawn.choice(THINGS)
    title = f"{place}第{number + 1}{thing}"
    text = f"{title}は{_year(drawn)}に開業した。" + "。".join(drawn.sample(PHRASES, 4)) + "。"
    return Passage(f"p{number:05}", f"d{number:05}", 0, title, text, f"docs/{number}.md")


def _year(drawn: Random) -> str:
    return f"{drawn.randrange(1890, 2024)}年"


def _asked(number: int, of: Passage, drawn: Random) -> Iterator[Question]:
    count = PER_TWO_DOCUMENTS // 2 + number % 2
    for place, (category, wording) in enumerate(list(ASKED.items())[:count]):
        yield Question(
            f"{of.document_id}-{place:02}",
            KINDS[place % len(KINDS)],
            of.document_id,
            of.id,
            f"e-{of.document_id}-{place:02}",
            wording.format(of.title),
            _reference(category, of.title, drawn),
            category,
        )


def _reference(category: str, title: str, drawn: Random) -> str:
    values = {
        "料金": f"{drawn.randrange(2, 60) * 50:,}円",
        "定員": f"{drawn.randrange(4, 400)}人",
        "開業": _year(drawn),
        "時間": f"{drawn.randrange(6, 11)}:30～{drawn.randrange(16, 22)}:00",
        "構造": drawn.choice(WOODS),
        "広さ": f"{drawn.randrange(30, 900) / 10}ha",
        "評判": f"{title}は「{drawn.choice(PHRASES)}」のおかげで家族連れに人気があります。",
    }
    value = values.get(category) or drawn.choice(PHRASES)
    return f"{title}の{category}は{value}です。" if drawn.random() < 0.2 else value


def _write_data(run: RunFolder, passages: Sequence[Passage], questions: Sequence[Question]) -> None:
    documents = [Document(p.document_id, p.source, p.title, p.text) for p in passages]
    run.stage("documents").write("documents", Document, documents)
    run.stage("documents").write("passages", Passage, passages)
    _finish(run, "documents", len(documents))
    examples = [
        Example(q.example_id, q.document_id, q.passage_id, "document_qa", q.question, q.reference)
        for q in questions
    ]
    for stage in ("synthesis/qa", "curation/qa"):
        run.stage(stage).write("examples", Example, examples)
        _finish(run, stage, len(examples))
    run.stage("questions").write("questions", Question, questions)
    _finish(run, "questions", len(questions))


def _finish(
    run: RunFolder, name: str, taken: int, fallen: Sequence[Dropped] = (), **notes: object
) -> None:
    folder = run.stage(name)
    folder.write("dropped", Dropped, fallen)
    counts = {"in": taken, "out": taken - len(fallen), "dropped": len(fallen), "reasons": {}}
    run.write_json(f"{name}/timing.json", {"seconds": 1.0, "requests": 0})
    folder.mark("made")
    folder.finish("made", {"stage": name, "counts": counts, "notes": notes})
    run.add_stage(name, "made")


def _checkpoint(arm: str) -> str:
    return "base" if arm == "base" else "epoch-8"


def _answers(questions: Sequence[Question], drawn: Random) -> Iterator[Answer]:
    count = 0
    for arm, shares in ARMS.items():
        for condition, share in zip(CONDITIONS, shares, strict=True):
            for question in questions:
                count += 1
                error = "timed out" if count % FAILED_EVERY == 0 else ""
                text = "" if error else _text(question, questions, share, drawn)
                yield Answer(
                    f"{drawn.getrandbits(64):016x}",
                    question.id,
                    arm,
                    _checkpoint(arm),
                    condition,
                    text,
                    "stop",
                    60,
                    len(text),
                    f"{drawn.getrandbits(256):064x}",
                    error,
                )


def _text(question: Question, others: Sequence[Question], share: float, drawn: Random) -> str:
    """An answer, with chance ``share`` a right one."""
    told = question.reference
    if drawn.random() >= share:
        if drawn.random() < 0.2:
            return drawn.choice(REFUSALS)
        # Of the same category mostly: questions stand in an order that repeats.
        told = others[drawn.randrange(len(others))].reference
        if drawn.random() < 0.1:
            return (told * 40)[:150]
    form = drawn.random()
    subject = question.question.partition("の")[0].partition("は")[0]
    if form < 0.35:
        return told
    if form < 0.5:
        return told.translate(str.maketrans("0123456789", "０１２３４５６７８９"))
    if form < 0.9:
        return f"{subject}の{question.category}は、{told}です。"
    piece = drawn.choice(PHRASES)
    return f"ご質問の{subject}についてですが、{told}とされています。なお、{piece}と案内にあります。"


def _judgement(answer: Answer, drawn: Random) -> Judgement:
    reason = drawn.choice(REASONS)
    score = None if drawn.random() < 1 / FAILED_EVERY else float(drawn.randrange(1, 11))
    raw = json.dumps({"explanation": reason, "score": score}, ensure_ascii=False)
    error = "" if score else "no valid score in the reply"
    return Judgement(
        f"j{answer.id}", answer.id, "scripted:judge", "ja/judge_absolute@1", score, reason, raw,
        error, answer.request_key,
    )  # fmt: skip


def tests(run: RunFolder) -> list[float]:
    """Each arm against the base, for each scorer and condition, after Holm."""
    import pyarrow.parquet as pq

    columns = ["arm", "condition", "scorer", "question_id", "document_id", "value"]
    table = pq.read_table(run.path / "evaluation" / "scores.parquet", columns=columns)
    found: dict[tuple[str, str, str], dict[str, tuple[str, float]]] = {}
    for arm, condition, scorer, question, document, value in zip(
        *(column.to_pylist() for column in table), strict=True
    ):
        if value is not None:
            found.setdefault((arm, condition, scorer), {})[question] = (document, value)
    chances = []
    for (arm, condition, scorer), after in sorted(found.items()):
        if arm != "base":
            before = found["base", condition, scorer]
            shared = sorted(after.keys() & before.keys())
            old, new = ([side[name][1] for name in shared] for side in (before, after))
            chances.append(sign_flip_test(old, new, [after[name][0] for name in shared]))
    return [chance for chance in holm(chances) if chance is not None]


def mismatches(run: RunFolder, seed: int = 0) -> int:
    """Of some scores, how many are not what their scorer says."""
    answers = {one.id: one for one in run.stage("evaluation").read("answers", Answer)}
    marks = {
        one.answer_id: one.score for one in run.stage("evaluation").read("judgements", Judgement)
    }
    references = {
        one.id: one.reference for one in run.stage("questions").read("questions", Question)
    }
    scores = list(run.stage("evaluation").read("scores", Score))
    wrong = int(len(scores) != len(SCORERS) * len(answers) + len(marks))
    for row in Random(seed).sample(scores, min(CHECKED, len(scores))):
        answer, expected = answers[row.answer_id], marks.get(row.answer_id)
        if row.scorer in SCORERS:
            pair = references[answer.question_id], answer.text
            expected = None if answer.error else SCORERS[row.scorer](*pair)
        wrong += row.value != expected
    return wrong


def right(run: RunFolder) -> dict[str, float]:
    report = run.read_json("report/report.json")
    return {
        row["arm"]: round(row["value"], 3)
        for row in report["scores"]
        if (row["condition"], row["question_kind"], row["scorer"])
        == ("closed_book", "all", "containment")
    }


def measure(run: RunFolder) -> dict[str, Any]:
    """The timed part."""
    start, start_cpu = time.perf_counter(), time.process_time()
    scored = score_run(run)
    middle = time.perf_counter()
    chances = tests(run)
    end = time.perf_counter()
    for row in scored:
        print(f"{row.scorer:15} {row.scores:9,} scores, {row.failed:6,} null")
    print(f"tests: {len(chances)}, {sum(chance < 0.05 for chance in chances)} below .05 after Holm")
    print(f"score {middle - start:.1f} s, tests {end - middle:.1f} s", flush=True)
    return {
        "seconds": round(end - start, 1),
        "processor_seconds": round(time.process_time() - start_cpu, 1),
        "parts": {"score": round(middle - start, 1), "tests": round(end - middle, 1)},
        "scores": sum(row.scores for row in scored),
        "tests": len(chances),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    documents = 10 if options.quick else DOCUMENTS
    with tempfile.TemporaryDirectory() as made:
        start = time.perf_counter()
        run = make_run((options.keep or Path(made)) / "facilities", documents)
        answers = run.stages()["evaluation"]["counts"]["in"]
        took = time.perf_counter() - start
        print(f"{answers:,} answers about {documents:,} documents, made in {took:.0f} s")
        import teichaku.report.build  # noqa: F401

        profile = cProfile.Profile()
        found = profile.runcall(measure, run) if options.profile else measure(run)
        if options.profile:
            pstats.Stats(profile).sort_stats("cumulative").print_stats(60)
        found |= {"mismatches": mismatches(run), "right": right(run)}
    found = {
        "name": "rescoring",
        "value": found["seconds"],
        "target": TARGET_SECONDS,
        "ok": found["mismatches"] == 0 and (options.quick or found["seconds"] < TARGET_SECONDS),
        "answers": answers,
        **found,
    }
    print(json.dumps(found))
    return 0 if found["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
