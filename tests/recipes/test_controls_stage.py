"""Benchmarks are asked of every model before and after, and nothing of it is lost."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from studies import run_study, write_study
from teichaku.backends import scripted
from teichaku.backends.scripted import ScriptedError, ScriptedStudent
from teichaku.backends.scripted_benchmarks import chosen
from teichaku.core.errors import UserError
from teichaku.core.models import RenderedPrompt
from teichaku.core.records import (
    Answer,
    Dropped,
    Judgement,
    Message,
    Question,
    QuestionRequest,
    Request,
    Score,
)
from teichaku.core.run_folder import RunFolder
from teichaku.evaluation.benchmarks.controls import (
    control_results,
    control_scores,
    read_controls,
    read_items,
)
from teichaku.evaluation.benchmarks.frames import Asking
from teichaku.evaluation.benchmarks.metrics import METRICS
from teichaku.evaluation.benchmarks.prepared import prepare, prepare_published
from teichaku.evaluation.benchmarks.rows import Item
from teichaku.recipes import control_sets, controls_stage
from teichaku.recipes.before import check_before
from teichaku.recipes.control_sets import info_of, set_fingerprint
from teichaku.recipes.controls_stage import EMPTY, way_of
from teichaku.recipes.evaluation_schema import ControlSet
from teichaku.recipes.judges import scorer_names
from teichaku.recipes.load import load_recipe
from teichaku.recipes.progress import Silent
from teichaku.recipes.run import Options, run_recipe
from teichaku.recipes.scoring import score_run

MODELS = ("base", "qa@learning_rate=0.001", "qa@learning_rate=0.0001", "other")
RESULTS = "controls/results.json"
ROWS = [{"input": f"質問：{n}＋{n}は？", "output": str(2 * n)} for n in range(8)]


def write_controls(folder: Path, controls: list[Any], **evaluation: Any) -> Path:
    """The recipe of a study whose models are asked ``controls``."""
    recipe = write_study(folder)
    whole = yaml.safe_load(recipe.read_text("utf-8"))
    whole["evaluation"] = {
        "scorers": ["containment"],
        "unanswerable": None,
        "signals": None,
        "models": {"other": {"backend": "scripted", "model": "other"}},
        "controls": controls,
        **evaluation,
    }
    recipe.write_text(yaml.safe_dump(whole, allow_unicode=True), "utf-8")
    return recipe


def write_folder(folder: Path, name: str = "sums", **changes: Any) -> None:
    """A set in llm-jp-eval's form, with a row that has no answer."""
    rows = {"dev": [*ROWS, {"input": "質問：空は？", "output": ""}], "train": ROWS[:4]}
    for split, samples in rows.items():
        (folder / split).mkdir(parents=True, exist_ok=True)
        content = {
            "instruction": "計算してください。", "output_length": 8, "metrics": ["exact_match"],
            "samples": samples, **changes,
        }  # fmt: skip
        path = folder / split / f"{name}.json"
        path.write_text(json.dumps(content, ensure_ascii=False), "utf-8")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("controls")
    recipe = write_controls(
        folder,
        [
            {"name": "jcommonsenseqa", "items": 20},
            {"name": "jcommonsenseqa", "protocol": "published", "items": 10},
            {"name": "elyza_tasks_100", "items": 3},
            {"name": "mt_bench_ja", "items": 2},
            {"name": "m_ifeval_ja", "items": 4},
            {"name": "sums", "folder": "mine"},
            {"name": "masked_sentences", "newer_than": "2024-05-01", "items": 2},
        ],
    )
    write_folder(folder / "mine")
    for path in (folder / "docs").iterdir():
        day = "2020-01-01" if "小夜風" in path.name else "2024-06-01"
        path.write_text(path.read_text("utf-8").replace("\n---\n", f"\ndate: {day}\n---\n"))
    return run_study(recipe)


def results(run: RunFolder, key: str, arm: str = "base") -> dict[str, Any]:
    (row,) = [
        row
        for row in run.read_json("controls/results.json")["results"]
        if (row["benchmark"], row["arm"]) == (key, arm)
    ]
    return dict(row)


def test_every_model_answers_every_item_once_and_the_counts_add_up(finished: RunFolder) -> None:
    stage = finished.stage("controls")
    items = read_items(stage)
    answers = list(stage.read("answers", Answer))
    assert Counter(answer.arm for answer in answers) == dict.fromkeys(MODELS, len(items))
    assert len({answer.id for answer in answers}) == len(answers)
    counts = finished.stages()["controls"]["counts"]
    fallen = list(stage.read("dropped", Dropped))
    assert counts["in"] == len(answers) + len(fallen) == counts["out"] + counts["dropped"]
    # A row without an answer, a passage that is too old, and two sentences beyond the two.
    assert counts["reasons"] == {"empty_answer": 1, "older_than_the_model": 1, "over_limit": 2}
    assert all(row.stage == "controls" for row in fallen)
    asked = {row.question_id for row in stage.read("requests", QuestionRequest)}
    assert asked == {item.question.id for item in items if not item.turn}


def test_the_scripted_students_marks_are_those_of_its_answers(finished: RunFolder) -> None:
    of = prepare("jcommonsenseqa", count=20)
    right = sum(chosen(item.question.question) == item.question.reference for item in of.items)
    row = results(finished, "jcommonsenseqa")
    assert 0 < right < 20
    assert row["strict"]["value"] == row["lenient"]["value"] == right / 20
    assert (row["asked"], row["failed"], row["empty"], row["identity"]) == (20, 0, 0.0, "match")
    assert row["random"] == 0.2
    commonest = max(Counter(item.question.reference for item in of.items).values())
    assert row["majority"] == commonest / 20


def test_both_protocols_of_a_set_stand_side_by_side(finished: RunFolder) -> None:
    rows = list(finished.stage("controls").read("requests", QuestionRequest))
    forms: dict[str, set[tuple[str, int]]] = {}
    benchmarks = {q.id: q.benchmark for q in finished.stage("controls").read("questions", Question)}
    for row in rows:
        put = row.prompt.rpartition("#")[2]
        forms.setdefault(benchmarks[row.question_id], set()).add(
            (put, len(json.loads(row.messages)))
        )
    # The instruction, four examples of two turns each, the question; and one plain text.
    assert forms["jcommonsenseqa"] == {("chat", 10)}
    assert forms["jcommonsenseqa@published"] == {("plain", 1)}
    published = finished.read_json("controls/sets.json")["sets"][1]
    assert (published["key"], published["max_tokens"]) == ("jcommonsenseqa@published", 1)
    assert published["identity"] == "unknown"
    assert any("first rows" in note for note in published["notes"])


def test_a_judge_marks_by_criteria_and_turn_by_turn(finished: RunFolder) -> None:
    stage = finished.stage("controls")
    marks = list(stage.read("judgements", Judgement))
    prompts = Counter(mark.protocol.partition("@")[0] for mark in marks)
    assert prompts == {"ja/judge_criteria": 3 * len(MODELS), "ja/judge_turn": 4 * len(MODELS)}
    given = {mark.answer_id: mark.score for mark in marks}
    scores = {row.answer_id: row.value for row in stage.read("scores", Score)
              if row.scorer == "judge"}  # fmt: skip
    assert scores == given
    for key, highest in (("elyza_tasks_100", 5), ("mt_bench_ja", 10)):
        assert 1 <= results(finished, key)["strict"]["value"] <= highest


def test_sentences_of_new_passages_alone_are_asked(finished: RunFolder) -> None:
    questions = [
        q for q in finished.stage("controls").read("questions", Question)
        if q.benchmark == "masked_sentences"
    ]  # fmt: skip
    assert len(questions) == 2
    documents = {d.id: d.date for d in _documents(finished)}
    assert {documents[q.document_id] for q in questions} == {"2024-06-01"}
    assert all(q.reference not in q.question for q in questions)


def _documents(run: RunFolder) -> list[Any]:
    from teichaku.core.records import Document

    return list(run.stage("documents").read("documents", Document))


def test_scores_and_figures_follow_from_the_files_alone(finished: RunFolder) -> None:
    stage = finished.stage("controls")
    controls = read_controls(stage, scorer_names(stage))
    scores = control_scores(controls)
    assert scores == list(stage.read("scores", Score))
    again = json.loads(json.dumps(control_results(controls, scores)))
    assert again == finished.read_json("controls/results.json")
    before = (stage.path / "scores.parquet").read_bytes()
    told = {row.scorer for row in score_run(finished) if row.stage == "controls"}
    assert told == {"exact_match", "exact_match_lenient", "judge", "instructions_followed",
                    "char_f1", "char_f1_lenient"}  # fmt: skip
    assert (stage.path / "scores.parquet").read_bytes() == before


def test_it_is_said_why_no_average_of_a_published_list_is_given(finished: RunFolder) -> None:
    averages = finished.read_json("controls/results.json")["averages"]
    assert [row["list"] for row in averages] == ["llm-jp-eval 1.3", "llm-jp-eval 1.4"]
    for row in averages:
        assert "jsquad" in row["missing"]
        assert set(row["not_computed"].values()) >= {"comet_wmt22"}
        assert not row["not_computed"].keys() & set(row["missing"])


def test_a_failed_request_is_null_and_not_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate = scripted.ScriptedModel.generate

    def failing(self: scripted.ScriptedModel, requests: Any) -> Any:
        own = self._script

        def script(request: Request) -> str:
            asked = request.messages[-1].content
            if "benchmark/" in request.prompt and "質問：0＋0" in asked:
                raise ScriptedError("the server is gone")
            return own(request)

        self._script = script
        yield from generate(self, requests)
        self._script = own

    monkeypatch.setattr(scripted.ScriptedModel, "generate", failing)
    recipe = write_controls(tmp_path, [{"name": "sums", "folder": "mine", "shots": 0}])
    write_folder(tmp_path / "mine")
    run = run_study(recipe)
    row = results(run, "sums")
    assert (row["asked"], row["failed"], row["strict"]["n"]) == (8, 1, 7)
    values = [s.value for s in run.stage("controls").read("scores", Score) if s.arm == "base"]
    assert Counter(value is None for value in values) == {True: 2, False: 14}
    summary = run.stages()["controls"]
    assert summary["counts"]["reasons"] == {"empty_answer": 1, "request_failed": 4}
    assert summary["failed_requests"] == 4
    (change,) = {
        (c["difference"]["n"], c["difference"]["failed"])
        for c in run.read_json("report/report.json")["controls"]["changes"]
    }
    assert change == (7, 1)


class Unfurnished(ScriptedStudent):
    """A student without a chat template, whose name says that it is tuned to chat."""

    def rendered(self, messages: Sequence[Message], plain: bool = False) -> RenderedPrompt:
        """What a scripted student reads."""
        return replace(super().rendered(messages, plain), has_chat_template=False)


def test_a_model_is_asked_in_the_form_that_it_can_take() -> None:
    sets = {
        "ours": prepare("jcommonsenseqa", count=3),
        "published": prepare_published("jcommonsenseqa", count=3),
        "tasks": prepare("elyza_tasks_100", count=2),
        "turns": prepare("mt_bench_ja", count=2),
    }
    chat = dict.fromkeys(sets, "chat") | {"published": "plain"}
    assert way_of(sets, ScriptedStudent()).put == chat
    # The template of a server is around every text: that is not the published prompt.
    served = way_of(sets, None)
    assert served.put == chat | {"published": "plain_in_chat"}
    assert served.is_served
    bare = way_of(sets, Unfurnished("tiny-instruct"))
    assert bare.put == chat | {"published": "plain", "ours": "plain"}
    missing = {"missing_chat_template": 2}
    # That the plain frame stands in for a template does not hide that there is none.
    assert bare.faults == {"tasks": missing, "turns": missing, "ours": {"missing_chat_template": 3}}
    assert way_of(sets, Unfurnished("tiny")).faults == {}


def test_a_set_whose_prompts_are_all_empty_is_refused() -> None:
    class Mute(ScriptedStudent):
        def rendered(self, messages: Sequence[Message], plain: bool = False) -> RenderedPrompt:
            return RenderedPrompt("", (), has_chat_template=True)

    with pytest.raises(UserError, match="empty_prompt"):
        way_of({"ours": prepare("jnli", count=2)}, Mute())


def test_a_further_models_empty_prompts_cost_its_own_answers_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = ScriptedStudent.rendered

    def mute(self: ScriptedStudent, messages: Sequence[Message], plain: bool = False) -> Any:
        # The further model's template leaves out what a set asks, and not what the other does.
        if self.name == "other" and "質問：" in messages[-1].content:
            return RenderedPrompt("", (), has_chat_template=True)
        return rendered(self, messages, plain)

    monkeypatch.setattr(ScriptedStudent, "rendered", mute)
    asked = [{"name": "sums", "folder": "mine", "shots": 0}, {"name": "m_ifeval_ja", "items": 2}]
    recipe = write_controls(tmp_path, asked)
    write_folder(tmp_path / "mine")
    run = run_study(recipe)
    sets = {q.id: q.benchmark for q in run.stage("controls").read("questions", Question)}
    answers = list(run.stage("controls").read("answers", Answer))
    lost = [answer for answer in answers if answer.error]
    assert Counter((answer.arm, sets[answer.question_id]) for answer in lost) == {
        ("other", "sums"): 8
    }
    assert {answer.error for answer in lost} == {EMPTY}
    # The prompts stay empty, so nobody is asked again.
    about = run.stages()["controls"]
    assert (about["failed_requests"], about["final_failures"]) == (0, 8)


def test_one_item_of_each_set_is_shown_as_each_student_reads_it(finished: RunFolder) -> None:
    shown = finished.read_json("controls/prompt.json")
    sets = list(read_controls(finished.stage("controls"), {}).sets)
    assert [(one["arm"], one["set"]) for one in shown["prompts"]] == [
        (arm, key) for arm in ("base", "other") for key in sets
    ]
    asked = {
        (row.question_id, row.prompt.partition("#")[2]): json.loads(row.messages)
        for row in finished.stage("controls").read("requests", QuestionRequest)
    }
    for one in shown["prompts"]:
        assert one["messages"] == asked[one["question_id"], one["put"]]
        assert "".join(map(chr, one["tokens"])) == one["text"] == one["messages"][-1]["content"]
    page = (finished.path / "report" / "index.html").read_text("utf-8")
    assert "各ベンチマークの最初の一問" in page


def test_models_of_one_identity_are_counted_once_before_they_are_asked(tmp_path: Path) -> None:
    told: list[str] = []

    class Listening(Silent):
        def begin(self, stage: str, total: int | None, estimate: str = "", *_: Any) -> None:
            told.extend([estimate] if stage == "controls" else [])

    recipe = write_controls(
        tmp_path,
        [{"name": "sums", "folder": "mine", "shots": 0}],
        models={name: {"backend": "scripted", "model": "scripted"} for name in ("one", "two")},
    )
    write_folder(tmp_path / "mine")
    options = Options(runs=tmp_path / "runs", cache=tmp_path / "requests.sqlite")
    run = run_recipe(load_recipe(recipe), tmp_path, Listening(), options)
    # The further models are the base, and the two arms learnt the same.
    assert "8 items of 1 set, 5 models: 16 requests to send" in told[0]
    assert run.read_json("controls/timing.json")["requests"] == 16


@pytest.mark.parametrize(
    ("controls", "words"),
    [
        (["jcomonsenseqa"], "Did you mean jcommonsenseqa"),
        (["marc_ja"], "name the folder"),
        ([{"name": "marc_ja", "folder": "mine"}], "mine/dev/marc_ja.json"),
        ([{"name": "other", "folder": "mine"}], "There: sums"),
        ([{"name": "jsquad", "split": "dev"}], "no split 'dev'"),
        ([{"name": "jsquad", "protocol": "published"}], "no rows here that llm-jp-eval asks"),
        ([{"name": "niilc", "protocol": "published", "shots": 0}], "Leave shots out"),
        ([{"name": "niilc", "shots": 40}], "16 examples here, not 40"),
        (["jsquad", "jsquad"], "twice by the same protocol"),
        ([{"name": "jsquad", "newer_than": "2024-01-01"}], "newer_than is for masked_sentences"),
        ([{"name": "jsquad", "category": "BBH"}], "jsquad is of the category RC"),
        ([{"name": "marc_ja", "folder": "mine", "category": "X"}], "the category sentiment"),
        ([{"name": "sums", "folder": "mine", "category": " "}], "category"),
        (["masked_sentences"], "newer than which day"),
        ([{"name": "masked_sentences", "newer_than": "2024-01-01", "folder": "x"}], "no folder"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused_before_anything_is_spent(
    tmp_path: Path, controls: list[Any], words: str
) -> None:
    recipe = write_controls(tmp_path, controls)
    write_folder(tmp_path / "mine")
    with pytest.raises(UserError) as refused:
        check_before(load_recipe(recipe), tmp_path)
    assert words in str(refused.value)


def test_labels_outside_of_the_list_and_unknown_metrics_are_refused(tmp_path: Path) -> None:
    recipe = write_controls(tmp_path, [{"name": "sums", "folder": "mine"}])
    write_folder(tmp_path / "mine", label_list=["0", "2"])
    with pytest.raises(UserError, match="sums"):
        check_before(load_recipe(recipe), tmp_path)
    write_folder(tmp_path / "mine", metrics=["rouge1"])
    with pytest.raises(UserError, match="ROUGE"):
        check_before(load_recipe(recipe), tmp_path)


def test_the_stage_runs_again_where_a_set_changed_and_nowhere_else(tmp_path: Path) -> None:
    recipe = write_controls(tmp_path, [{"name": "sums", "folder": "mine", "items": 2}])
    write_folder(tmp_path / "mine")
    run = run_study(recipe)
    stages = {name: one["fingerprint"] for name, one in run.stages().items()}
    text = recipe.read_text("utf-8").replace("items: 2", "items: 3")
    recipe.write_text(text, "utf-8")
    again = {name: one["fingerprint"] for name, one in run_study(recipe).stages().items()}
    # Its items are looked for in what is trained on.
    assert {name for name in stages if stages[name] != again[name]} == {"controls", "curation/qa"}
    write_folder(tmp_path / "mine", instruction="計算します。")
    last = {name: one["fingerprint"] for name, one in run_study(recipe).stages().items()}
    assert {name for name in again if again[name] != last[name]} == {"controls"}
    assert {row["category"] for row in run.read_json(RESULTS)["categories"]} == {"other"}
    recipe.write_text(text.replace("items: 3", "items: 3\n    category: BBH"), "utf-8")
    run = run_study(recipe)
    filed = {name: one["fingerprint"] for name, one in run.stages().items()}
    assert {name for name in last if last[name] != filed[name]} == {"controls"}
    assert {row["category"] for row in run.read_json(RESULTS)["categories"]} == {"BBH"}


def test_a_set_without_controls_has_no_such_stage(tmp_path: Path) -> None:
    run = run_study(write_controls(tmp_path, []))
    assert "controls" not in run.stages()
    assert run.read_json("report/report.json")["controls"] is None


def test_what_a_set_was_published_with_stands_beside_by_our_protocol_alone(tmp_path: Path) -> None:
    run = run_study(write_controls(tmp_path, [{"name": "jsts", "items": 12},
                                              {"name": "jcola", "items": 6}]))  # fmt: skip
    found = {(row["benchmark"], row["metric"]) for row in run.read_json(RESULTS)["results"]}
    assert found == {
        ("jsts", "pearson"), ("jsts", "spearman"), ("jcola", "exact_match"), ("jcola", "mcc")
    }  # fmt: skip
    rows = run.read_json("report/report.json")["controls"]["rows"]
    assert {row["metric"] for row in rows if row["stands_beside"]} == {"spearman", "mcc"}
    published = ControlSet.model_validate({"name": "jsts", "protocol": "published"})
    assert info_of(published, prepare_published("jsts")).beside == ""


def test_the_report_tells_the_scale_of_marks_beside_the_set(finished: RunFolder) -> None:
    rows = finished.read_json("report/report.json")["controls"]
    for part in ("rows", "changes"):
        scales = {row["set"]: row["scale"] for row in rows[part]}
        assert (scales["elyza_tasks_100"], scales["mt_bench_ja"]) == ([1.0, 5.0], [1.0, 10.0])
        assert scales["jcommonsenseqa"] == [0.0, 1.0]
    page = (finished.path / "report" / "index.html").read_text("utf-8")
    # In the two tables of all models, and in each row of the two in full.
    for key, scale in (("elyza_tasks_100", "1〜5 点"), ("mt_bench_ja", "1〜10 点")):
        named = f'{key}<span class="help">{scale}</span>'
        in_full = [row for part in ("rows", "changes") for row in rows[part] if row["set"] == key]
        assert page.count(named) == 2 + len(in_full)
    assert 'jcommonsenseqa<span class="help">1' not in page


def test_whatever_changes_a_request_asks_a_finished_set_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chat = Asking.chat

    def otherwise(self: Asking, item: Item) -> Request:
        request = chat(self, item)
        return replace(request, several_lines=not request.several_lines)

    for prepared in (prepare("jcommonsenseqa", 3), prepare("mt_bench_ja", 2)):
        config = ControlSet(name=prepared.asking.name)
        before, asking = set_fingerprint(config, prepared), prepared.asking
        for changed in ({"several_lines": not asking.several_lines}, {"max_tokens": 7}):
            again = replace(prepared, asking=replace(asking, **changed))
            assert set_fingerprint(config, again) != before
        # No list of settings: what is sent counts.
        with monkeypatch.context() as patched:
            patched.setattr(Asking, "chat", otherwise)
            assert set_fingerprint(config, prepared) != before
        assert set_fingerprint(config, prepared) == before


def test_the_metric_that_is_shown_beside_decides_the_fingerprint_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, of = ControlSet(name="jsts"), prepare("jsts", 3)
    before = set_fingerprint(config, of)
    newer = {**METRICS, "spearman": replace(METRICS["spearman"], version="another")}
    with monkeypatch.context() as patched:
        patched.setattr(control_sets, "METRICS", newer)
        assert set_fingerprint(config, of) != before
    assert set_fingerprint(config, of) == before
    # As published nothing stands beside, and the version of what would says nothing.
    published = ControlSet.model_validate({"name": "jsts", "protocol": "published"})
    asked = prepare_published("jsts", count=3)
    before = set_fingerprint(published, asked)
    monkeypatch.setattr(control_sets, "METRICS", newer)
    assert set_fingerprint(published, asked) == before


def test_a_models_own_limit_holds_for_sets_of_our_protocol_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate, limits = scripted.ScriptedModel.generate, set[tuple[str, int]]()

    def noted(self: scripted.ScriptedModel, requests: Any) -> Any:
        for reply in generate(self, requests):
            request = reply.request
            if "benchmark/" in request.prompt:
                key = request.subject.question.benchmark
                limits.add((key, request.sampling.max_tokens))
            yield reply

    monkeypatch.setattr(scripted.ScriptedModel, "generate", noted)
    asked = [{"name": "niilc", "items": 3}, {"name": "niilc", "protocol": "published", "items": 3}]
    own = {"other": {"backend": "scripted", "model": "other", "max_tokens": 9}}
    run = run_study(write_controls(tmp_path, asked, models=own))
    of = {one["key"]: one["max_tokens"] for one in run.read_json("controls/sets.json")["sets"]}
    wanted = {("niilc", 9), ("niilc@published", of["niilc@published"])}
    assert of["niilc"] != 9 and limits == {*of.items(), *wanted}
    rows = run.read_json("report/report.json")["controls"]["rows"]
    assert {(row["set"], row["max_tokens"]) for row in rows if row["arm"] == "other"} == wanted
    assert {(row["arm"], row["set"]) for row in rows if row["is_own_limit"]} == {("other", "niilc")}
    page = (run.path / "report" / "index.html").read_text("utf-8")
    assert page.count("回答の上限 9 トークン") == 1


def test_passages_whose_request_failed_do_not_count_as_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate, lost = scripted.ScriptedModel.generate, list[str]()

    def failing(self: scripted.ScriptedModel, requests: Any) -> Any:
        own = self._script

        def script(request: Request) -> str:
            told = request.messages[-1].content
            if "key_sentences" in request.prompt and (not lost or told == lost[0]):
                lost.append(told)
                raise ScriptedError("the server is gone")
            return own(request)

        self._script = script
        yield from generate(self, requests)
        self._script = own

    monkeypatch.setattr(scripted.ScriptedModel, "generate", failing)
    masked = {"name": "masked_sentences", "newer_than": "2024-05-01", "items": 4}
    recipe = write_controls(tmp_path, [masked])
    for path in (tmp_path / "docs").iterdir():
        path.write_text(path.read_text("utf-8").replace("\n---\n", "\ndate: 2024-06-01\n---\n"))
    run = run_study(recipe)
    stage = run.stage("controls")
    assert run.stages()["controls"]["counts"]["reasons"]["request_failed"] == 1
    assert not any(answer.error for answer in stage.read("answers", Answer))
    assert not any(row.changed for row in score_run(run))
    answers = list(stage.read("answers", Answer))
    stage.write("answers", Answer, answers[1:])
    with pytest.raises(UserError, match="its stage says"):
        score_run(run)


def test_whatever_changes_a_request_asks_a_set_again_that_a_teacher_makes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = ControlSet(name="masked_sentences", newer_than=date(2024, 5, 1))
    before = controls_stage._made_fingerprint(config, 0)
    assert controls_stage._made_fingerprint(config, 0) == before
    monkeypatch.setattr(controls_stage, "_SENTENCE_TOKENS", 99)
    assert controls_stage._made_fingerprint(config, 0) != before
