"""A study from documents to report on the scripted models."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from studies import DOCUMENTS, final_files, run_study, write_data_study, write_study
from teichaku.backends import scripted
from teichaku.backends.terms import Terms
from teichaku.core.errors import StageEmptyError, UserError
from teichaku.core.records import Answer, Dropped, Example, Judgement, Question, Request, Score
from teichaku.core.run_folder import RunFolder, StageFolder
from teichaku.recipes.progress import Silent
from teichaku.recipes.reporting import make_report
from teichaku.recipes.schema import Recipe
from teichaku.recipes.study import write_outcome

TEACHER = scripted.scripted_teacher
#: The stages that ask the models what they were trained for.
ASKING = {"evaluation", "controls", "unanswerable", "signals"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return run_study(write_study(tmp_path_factory.mktemp("study")))


def test_every_stage_is_finished_and_its_counts_add_up(finished: RunFolder) -> None:
    stages = finished.stages()
    assert list(stages) == [
        "documents",
        "synthesis/qa",
        "curation/qa",
        "questions",
        "retrieval",
        "training/qa@learning_rate=0.001",
        "probes/qa@learning_rate=0.001",
        "training/qa@learning_rate=0.0001",
        "probes/qa@learning_rate=0.0001",
        "evaluation",
        "controls",
        "unanswerable",
        "signals",
    ]
    # What is not finished is told from what the run says that its recipe has.
    assert finished.read_json("run.json")["stages"] == list(stages)
    for name, summary in stages.items():
        counts = summary["counts"]
        assert counts["in"] == counts["out"] + counts["dropped"], name
        assert counts["dropped"] == sum(counts["reasons"].values()), name
        rows = list(finished.stage(name).read("dropped", Dropped))
        assert len(rows) == counts["dropped"], name
        assert all(row.reason for row in rows)


def test_the_student_learns_what_it_was_taught_and_not_what_was_held_out(
    finished: RunFolder,
) -> None:
    scores = finished.read_json("report/report.json")["scores"]

    def value(arm: str, kind: str) -> float:
        (row,) = [
            s for s in scores
            if s["arm"] == arm and s["question_kind"] == kind and s["scorer"] == "containment"
            and s["condition"] == "closed_book" and s["checkpoint"] in ("base", "epoch-3")
        ]  # fmt: skip
        return float(row["value"])

    arm = "qa@learning_rate=0.001"
    assert value("base", "trained") == 0
    assert value(arm, "trained") == 1
    assert value(arm, "unseen") == 0


def test_no_unseen_example_is_trained_on(finished: RunFolder) -> None:
    questions = list(finished.stage("questions").read("questions", Question))
    unseen = {q.example_id for q in questions if q.kind == "unseen"}
    assert unseen
    stage = finished.stage("training/qa@learning_rate=0.001")
    held = {d.record_id for d in stage.read("dropped", Dropped)}
    assert unseen <= held
    adapter = json.loads((stage.path / "epoch-3" / "adapter.json").read_text("utf-8"))
    assert not {q.question for q in questions if q.kind == "unseen"} & set(adapter)


def test_every_arm_answers_the_same_questions(finished: RunFolder) -> None:
    answers = list(finished.stage("evaluation").read("answers", Answer))
    final = Counter((a.arm, a.checkpoint, a.condition) for a in answers)
    questions = len(list(finished.stage("questions").read("questions", Question)))
    for arm in ("base", "qa@learning_rate=0.001", "qa@learning_rate=0.0001"):
        for condition in ("closed_book", "open_book"):
            checkpoint = "base" if arm == "base" else "epoch-3"
            assert final[(arm, checkpoint, condition)] == questions


def test_every_judged_answer_has_its_score(finished: RunFolder) -> None:
    stage = finished.stage("evaluation")
    marks = {m.answer_id: m.score for m in stage.read("judgements", Judgement)}
    scores = {s.answer_id: s.value for s in stage.read("scores", Score) if s.scorer == "judge"}
    assert marks == scores
    assert marks


def test_an_example_can_be_traced_to_its_request(finished: RunFolder) -> None:
    for example in finished.stage("curation/qa").read("examples", Example):
        assert example.prompt.startswith("ja/document_qa@")
        assert example.teacher.startswith("scripted:")
        assert len(example.request_key) == 64
        assert any(example.question.startswith(title) for title in DOCUMENTS)


def test_a_second_run_does_nothing_again(tmp_path: Path) -> None:
    recipe = write_study(tmp_path)
    first = run_study(recipe)
    before = {p: p.stat().st_mtime_ns for p in first.path.rglob("*.parquet")}
    run_study(recipe)
    assert {p: p.stat().st_mtime_ns for p in first.path.rglob("*.parquet")} == before


def test_re_ordered_and_renamed_documents_change_no_record(tmp_path: Path) -> None:
    one, two = write_study(tmp_path / "a"), write_study(tmp_path / "b")
    for number, path in enumerate(sorted((two.parent / "docs").iterdir(), reverse=True)):
        path.rename(path.with_name(f"{number}.md"))
    first, second = run_study(one), run_study(two)
    for name in ("curation/qa/examples.parquet", "questions/questions.parquet"):
        assert final_files(first)[name] == final_files(second)[name]


def test_training_alone_is_done_again_where_only_training_changed(tmp_path: Path) -> None:
    recipe = write_study(tmp_path)
    run = run_study(recipe)
    kept = final_files(run)
    recipe.write_text(recipe.read_text("utf-8").replace("epochs: 3", "epochs: 2"), "utf-8")
    changed = final_files(run_study(recipe))
    differing = {name.split("/")[0] for name in kept if changed.get(name) != kept[name]}
    assert differing == {"training", "probes", *ASKING, "recipe.yaml", "stages.json"}


def test_a_stage_with_nothing_left_stops_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripted, "scripted_teacher", lambda request: "申し訳ありません。")
    recipe = write_study(tmp_path)
    with pytest.raises(StageEmptyError, match="synthesis/qa has no example left") as caught:
        run_study(recipe)
    assert "unparseable_reply: 3" in caught.value.message
    rows = RunFolder(tmp_path / "runs" / "boats").stage("synthesis/qa").read("dropped", Dropped)
    assert {row.raw for row in rows} == {"申し訳ありません。"}


def test_no_document_is_told_before_anything_runs(tmp_path: Path) -> None:
    recipe = write_study(tmp_path)
    for path in (tmp_path / "docs").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="No file found at docs"):
        run_study(recipe)


def test_a_teacher_that_fails_now_and_then_loses_only_its_own_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def teacher(request: Request) -> str:
        if "document_qa" in request.prompt and request.subject.unit.title == "小夜風":
            raise scripted.ScriptedError("503 after 6 tries")
        return TEACHER(request)

    monkeypatch.setattr(scripted, "scripted_teacher", teacher)
    run = run_study(write_study(tmp_path))
    fallen = list(run.stage("synthesis/qa").read("dropped", Dropped))
    assert [(d.reason, "503" in d.evidence) for d in fallen] == [("request_failed", True)]
    assert run.stages()["evaluation"]["counts"]["out"] > 0


def test_the_builtin_recipes_run_on_the_scripted_models(tmp_path: Path) -> None:
    from teichaku.recipes.load import builtin_recipes, load_recipe
    from teichaku.recipes.progress import Silent
    from teichaku.recipes.run import Options, run_recipe

    ran = []
    for name, path in builtin_recipes().items():
        recipe = load_recipe(path, None, _on_scripted_models(load_recipe(path)))
        options = Options(tmp_path / "runs", tmp_path / "cache.sqlite")
        run = run_recipe(recipe, path.parent, Silent(), options)
        if recipe.ends_with_data:
            for arm in recipe.arms:
                assert (run.path / "dataset" / arm / "README.md").is_file(), name
                assert list(run.stage(f"curation/{arm}").read("examples", Example)), name
        elif recipe.asks_questions:
            assert run.read_json("report/report.json")["scores"], name
        else:
            assert list(run.stage("controls").read("answers", Answer)), name
            assert (run.path / "report" / "index.html").is_file(), name
        ran.append(name)
    assert ran == [
        "academic-qa", "instruction-set", "leaderboard", "llm-jp", "pairwise-instruction",
    ]  # fmt: skip


def _on_scripted_models(recipe: Recipe) -> list[str]:
    """Settings that put a scripted model in the place of every model of ``recipe``."""
    swap = ["judge={backend: scripted, model: judge}"]
    if recipe.teacher is not None:
        swap.append("teacher={backend: scripted}")
    if recipe.student is not None:
        swap.append("student={backend: scripted}")
    models = (f"{name}: {{backend: scripted, model: {name}}}" for name in recipe.evaluation.models)
    return [*swap, f"evaluation.models={{{', '.join(models)}}}"]


def test_training_is_kept_where_only_the_choice_of_a_checkpoint_changed(tmp_path: Path) -> None:
    recipe = write_study(tmp_path)
    kept = final_files(run_study(recipe))
    text = recipe.read_text("utf-8").replace(
        "checkpoint_every_steps: 2", "checkpoint_every_steps: 3"
    )
    recipe.write_text(
        text.replace("{judge: {epochs: true}", "{select: last, judge: {epochs: true}"), "utf-8"
    )
    run = run_study(recipe)
    changed = final_files(run)
    differing = {name.split("/")[0] for name in kept if changed.get(name) != kept[name]}
    assert differing <= {*ASKING, "recipe.yaml", "stages.json"}
    selected = run.stages()["evaluation"]["notes"]["selected_checkpoints"]
    assert set(selected.values()) == {"epoch-3"}
    # Of two arms with one checkpoint each.
    assert {arm["select"] for arm in run.read_json("run.json")["arms"]} == {"last"}
    (caveat,) = [c for c in caveats(run) if "同じ質問の得点で" in c]
    assert "2 個から" in caveat


def caveats(run: RunFolder) -> list[str]:
    return list(run.read_json("report/report.json")["headline"]["caveats"])


def test_what_failed_is_asked_again_and_all_that_follows_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down_for_one(request: Request) -> str:
        if "小夜風" in request.messages[-1].content:
            raise scripted.ScriptedError("503")
        return TEACHER(request)

    recipe = write_study(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(scripted, "scripted_teacher", down_for_one)
        half = run_study(recipe)
    lost = half.stages()["synthesis/qa"]
    assert lost["failed_requests"] == lost["counts"]["reasons"]["request_failed"] == 1
    whole = final_files(run_study(recipe))
    assert whole == final_files(run_study(write_study(tmp_path / "undisturbed")))


def test_arms_with_other_examples_are_asked_in_words_that_not_all_of_them_know(
    tmp_path: Path,
) -> None:
    recipe = write_study(tmp_path)
    arms = "  few:\n    examples: [{method: document_qa, per_passage: 2}]\n"
    text = recipe.read_text("utf-8").replace("arms:\n", f"arms:\n{arms}")
    recipe.write_text(text, "utf-8")
    run = run_study(recipe)
    kinds = run.stages()["questions"]["notes"]["kinds"]
    examples = {
        data: {e.id for e in run.stage(f"curation/{data}").read("examples", Example)}
        for data in ("few", "qa")
    }
    common = examples["few"] & examples["qa"]
    for question in run.stage("questions").read("questions", Question):
        if question.kind.startswith("trained"):
            assert (question.kind == "trained") == (question.example_id in common)
    assert kinds["trained_by_some"] > 0


def interrupted(folder: StageFolder, name: str, *rest: Any) -> dict[str, int]:
    """In place of ``write_outcome``: Ctrl-C once all examples are made."""
    if name == "examples":
        raise KeyboardInterrupt
    return write_outcome(folder, name, *rest)


def test_the_cost_of_an_interrupted_run_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_study(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("teichaku.recipes.examples_stage.write_outcome", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_study(recipe)
    run = run_study(recipe)
    spent = run.read_json("synthesis/qa/timing.json")
    assert spent["requests"] == run.stages()["synthesis/qa"]["notes"]["requests"]
    assert spent["cached_requests"] == spent["requests"]


def test_what_a_killed_run_and_another_recipe_have_cost_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_study(tmp_path)
    timing = "synthesis/qa/timing.json"
    with monkeypatch.context() as patched:
        patched.setattr("teichaku.recipes.examples_stage.write_outcome", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_study(recipe)
    stopped = RunFolder(tmp_path / "runs" / "boats")
    paid = stopped.read_json(timing)
    first = stopped.read_json("run.json")["started"]
    # As kill -9 leaves it: the replies are in the cache, and no file tells what they cost.
    (stopped.path / timing).unlink()
    run = run_study(recipe)
    assert run.path == stopped.path
    told = run.read_json(timing)
    assert (told["requests"], told["cached_requests"]) == (0, paid["requests"])
    assert told["cached_tokens"] == paid["prompt_tokens"] + paid["completion_tokens"] > 0
    spent = run.read_json("report/report.json")["timing"]["spent"]["tokens"]
    assert spent > told["cached_tokens"]
    text = recipe.read_text("utf-8")
    recipe.write_text(text.replace("per_passage: ", "per_passage: 1"), "utf-8")
    other = run_study(recipe).read_json("report/report.json")["timing"]["spent"]["tokens"]
    recipe.write_text(text, "utf-8")
    again = run_study(recipe).read_json("report/report.json")
    assert again["timing"]["spent"]["tokens"] == other > spent
    assert again["run"]["first_started"] == first


def test_a_new_price_is_written_into_examples_and_trains_nothing_again(tmp_path: Path) -> None:
    recipe = write_study(tmp_path)
    run = run_study(recipe)
    kept = final_files(run)
    assert {e.price for e in run.stage("curation/qa").read("examples", Example)} == {0.0}
    text = recipe.read_text("utf-8")
    priced = "teacher: {backend: scripted, price: {input: 1, output: 2}"
    recipe.write_text(text.replace("teacher: {backend: scripted", priced), "utf-8")
    run = run_study(recipe)
    for stage in ("synthesis/qa", "curation/qa"):
        for example in run.stage(stage).read("examples", Example):
            paid = example.prompt_tokens + 2 * example.completion_tokens
            assert example.price == pytest.approx(paid / 1e6) and paid
    changed = final_files(run)
    differing = {name.split("/")[0] for name in kept if changed.get(name) != kept[name]}
    assert differing == {"synthesis", "curation", "recipe.yaml", "stages.json"}


def repriced(recipe: Path) -> Path:
    """``recipe`` with a price for its teacher."""
    text = recipe.read_text("utf-8")
    priced = "teacher: {backend: scripted, price: {input: 1, output: 2}"
    recipe.write_text(text.replace("teacher: {backend: scripted", priced), "utf-8")
    return recipe


def test_a_new_price_asks_nothing_again_and_gives_the_bytes_of_a_fresh_run(tmp_path: Path) -> None:
    for name in ("fresh", "old"):
        recipe = write_study(tmp_path / name)
        small = recipe.read_text("utf-8").replace("    matrix:", "    characters: 100\n    matrix:")
        recipe.write_text(small, "utf-8")
    run = run_study(recipe)
    assert list(run.stage("curation/qa").read("dropped", Dropped))
    before = run.read_json("synthesis/qa/timing.json")
    # As on another machine, where the replies are not.
    shutil.rmtree(recipe.parent / "cache")
    found = final_files(run_study(repriced(recipe)))
    assert run.read_json("synthesis/qa/timing.json") == before
    fresh = final_files(run_study(repriced(tmp_path / "fresh" / "recipe.yaml")))
    # What was trained stays, with what fell there as it was signed then.
    signed = [name for name in fresh if name.startswith(("synthesis/", "curation/"))]
    assert [found[name] for name in signed] == [fresh[name] for name in signed]


def test_a_signing_that_was_killed_is_done_whole_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_study(tmp_path)
    unpriced = recipe.read_text("utf-8")
    kept = final_files(run_study(recipe))

    def killed(self: StageFolder, *_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(StageFolder, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            run_study(repriced(recipe))
    recipe.write_text(unpriced, "utf-8")
    assert final_files(run_study(recipe)) == kept


def test_new_terms_are_written_into_examples_and_into_the_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_data_study(tmp_path)
    run = run_study(recipe)
    card = (run.path / "dataset" / "qa" / "README.md").read_text("utf-8")
    terms = Terms("other", "other terms", "conditions", "Name the teacher in the model's name.")
    monkeypatch.setattr("teichaku.recipes.run.teacher_terms", lambda *_: terms)
    run = run_study(recipe)
    for stage in ("synthesis/qa", "curation/qa", "dataset/qa"):
        found = run.stage(stage).read("examples", Example)
        assert {example.licence_class for example in found} == {"conditions"}
    assert terms.clause not in card
    assert terms.clause in (run.path / "dataset" / "qa" / "README.md").read_text("utf-8")


def test_terms_that_change_no_example_change_the_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_data_study(tmp_path)
    run_study(recipe)
    terms = Terms("other", "other terms", "permissive", "Anything goes, says the new table.")
    monkeypatch.setattr("teichaku.recipes.run.teacher_terms", lambda *_: terms)
    run = run_study(recipe)
    assert terms.clause in (run.path / "dataset" / "qa" / "README.md").read_text("utf-8")


def test_a_late_failure_tells_how_to_read_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise UserError("The judge is gone.")

    said: list[str] = []
    monkeypatch.setattr("teichaku.recipes.run.measure_signals", fails)
    monkeypatch.setattr(Silent, "say", lambda self, text: said.append(text))
    with pytest.raises(UserError, match="is gone"):
        run_study(write_study(tmp_path))
    folder = said[-1].removeprefix("What is finished can be read: teichaku report ")
    run = RunFolder(Path(folder))
    assert make_report(run)["scores"]
    assert "signals" in (run.path / "report" / "index.html").read_text("utf-8")


def test_stages_name_the_seeds_by_their_fingerprint(tmp_path: Path) -> None:
    arms = {"a": {"examples": [{"method": "domain_spread", "per_seed": 1}]}}
    recipe = write_data_study(tmp_path, arms=arms, documents=None, seeds={"path": "seeds.jsonl"})
    seeds = tmp_path / "seeds.jsonl"
    run = run_study(recipe)
    for stage in ("synthesis/a", "curation/a"):
        told = (run.path / stage / "stage.json").read_text("utf-8")
        for seed in seeds.read_text("utf-8").splitlines():
            assert json.loads(seed)["instruction"] not in told
    before = run.stages()["curation/a"]["fingerprint"]
    changed = seeds.read_text("utf-8").splitlines()
    seeds.write_text("\n".join(changed[1:]), "utf-8")
    assert run_study(recipe).stages()["curation/a"]["fingerprint"] != before
