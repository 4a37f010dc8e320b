"""What a recipe says of how judges mark is what they do, and stands beside what they said."""

import json
from pathlib import Path
from typing import Any

import pytest

from judged_studies import ARM, judged_study, run_judged
from studies import run_study
from teichaku.backends import scripted
from teichaku.core.errors import UserError
from teichaku.core.records import Comparison, Judgement, Score
from teichaku.core.run_folder import RunFolder
from teichaku.recipes.before import check_before
from teichaku.recipes.load import load_recipe
from teichaku.recipes.scoring import score_run

PUBLISHED = [
    {
        "name": "single",
        "type": "single",
        "system_prompt": "",
        "prompt_template": "質問：{question}\n回答：{answer}\n評価は [[5]] の形で。",
    },
    {
        "name": "single-turns",
        "type": "single",
        "system_prompt": "",
        "prompt_template": "{question_1}\n{answer_1}\n{question_2}\n{answer_2}\n評価は [[5]]。",
    },
    {
        "name": "pair",
        "type": "pairwise",
        "system_prompt": "公平に比べてください。",
        "prompt_template": "{question}\nA：{answer_a}\nB：{answer_b}\n[[A]]、[[B]]、[[C]]で答える。",
    },
]
CONTROLS = [{"name": "elyza_tasks_100", "items": 3}, {"name": "mt_bench_ja", "items": 2}]


def write_prompts(folder: Path, names: tuple[str, ...]) -> str:
    rows = [row for row in PUBLISHED if row["name"] in names]
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    (folder / "prompts.jsonl").write_text("\n".join(lines), "utf-8")
    return "prompts.jsonl"


def as_if_unsure(text: str) -> list[dict[str, float]]:
    """One token a character; each mark might as well have been a point lower, or 1 a 2."""
    found = []
    for character in text:
        place = {character: -0.693147}
        if character.isdigit():
            place["2" if character == "1" else str(int(character) - 1)] = -0.693148
        found.append(place)
    return found


class Unsure(scripted.ScriptedModel):
    """A judge with log-probabilities."""

    def __init__(self, script: scripted.Script, name: str = "", seconds: float = 0.0) -> None:
        super().__init__(script, name, seconds, as_if_unsure)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("judged")
    prompts = write_prompts(folder, ("single", "single-turns", "pair"))
    with pytest.MonkeyPatch.context() as patched:
        recipe = judged_study(
            folder,
            patched,
            {
                "judge": {"repeats": 2, "expected": True, "prompts": prompts, "max_tokens": 4000},
                "judges": {"short": {"backend": "scripted", "model": "short", "max_tokens": 77}},
                "controls": CONTROLS,
                "pairwise": {"between": [["base", ARM]], "controls": ["elyza_tasks_100"]},
            },
        )
        patched.setattr(scripted, "ScriptedModel", Unsure)
        return run_study(recipe)


def protocols(run: RunFolder, stage: str) -> dict[tuple[str, str], Any]:
    told = run.read_json(f"{stage}/protocols.json")
    return {(one["judge"], one["prompts"][0][0]): one for one in told["protocols"]}


def test_every_protocol_says_what_the_recipe_says(judged: RunFolder) -> None:
    asked = {
        "evaluation": {"ja/judge_absolute@1": "json-1-10@1"},
        "controls": {
            "ja/judge_criteria@1": "json-score-first-1-5@1",
            "ja/fastchat:single+single-turns@file": "brackets-1-10@1",
        },
        "comparisons": {"ja/fastchat:pair@file": "brackets-verdict@1"},
    }
    for stage, wanted in asked.items():
        found = protocols(judged, stage)
        assert {name: one["parser"] for (_, name), one in found.items()} == wanted
        for (judge, name), one in found.items():
            assert one["sampling"]["max_tokens"] == (77 if judge == "scripted:short" else 4000)
            assert one["repeats"] == (1 if stage == "comparisons" else 2)
            assert one["expected"] is (name == "ja/judge_criteria@1")


def test_the_file_is_what_judges_are_asked_by(judged: RunFolder) -> None:
    marks = list(judged.stage("controls").read("judgements", Judgement))
    by_file = [row for row in marks if row.protocol.startswith("ja/fastchat:")]
    assert by_file and all(row.score is not None and "[[" in row.raw for row in by_file)
    pairs = list(judged.stage("comparisons").read("comparisons", Comparison))
    assert pairs and all(row.winner is not None and "[[" in row.raw for row in pairs)


def test_of_several_marks_the_median_is_the_score_and_scoring_again_finds_it(
    judged: RunFolder,
) -> None:
    for stage in ("evaluation", "controls"):
        folder = judged.stage(stage)
        marks = list(folder.read("judgements", Judgement))
        rows = [row for row in folder.read("scores", Score) if row.scorer.startswith("judge")]
        assert len(marks) == 2 * len(rows)
        assert len({(row.answer_id, row.scorer) for row in rows}) == len(rows)
    before = {stage: judged.stage(stage).hashes() for stage in ("evaluation", "controls")}
    assert not any(row.changed for row in score_run(judged))
    assert {stage: judged.stage(stage).hashes() for stage in before} == before


def test_expected_marks_are_means_of_the_judges_distribution(judged: RunFolder) -> None:
    marks = [
        row
        for row in judged.stage("controls").read("judgements", Judgement)
        if row.protocol.startswith("ja/judge_criteria")
    ]
    written = {row.id: json.loads(row.raw)["score"] for row in marks}
    assert {row.error for row in marks} == {""}
    for row in marks:
        half = 0.5 if written[row.id] == 1 else -0.5
        assert row.score == pytest.approx(written[row.id] + half, abs=1e-3)


def test_the_report_names_how_each_judge_was_asked(judged: RunFolder) -> None:
    rows = judged.read_json("report/report.json")["judges"]["judges"]
    told = {(row["protocol"].partition("#")[0], row["identity"]): row["settings"] for row in rows}
    assert told["ja/judge_criteria@1", "scripted:scripted"] == {
        "max_tokens": 4000,
        "repeats": 2,
        "expected": True,
    }
    assert told["ja/fastchat:pair@file", "scripted:short"]["max_tokens"] == 77
    page = (judged.path / "report" / "index.html").read_text("utf-8")
    assert "ja/fastchat:pair@file" in page
    assert "各 2 回" in page
    assert "審査モデル自身の分布" in page


def test_a_prompt_that_changes_in_the_file_asks_what_it_judges_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = write_prompts(tmp_path, ("pair",))
    changed: dict[str, Any] = {
        "judge": {"prompts": prompts, "questions": 2},
        "pairwise": {"between": [["base", ARM]], "questions": 2},
    }
    run = run_judged(tmp_path, monkeypatch, **changed)
    before = {stage: run.stage(stage).hashes() for stage in ("evaluation", "comparisons")}
    path = tmp_path / prompts
    path.write_text(path.read_text("utf-8").replace("公平に", "厳しく"), "utf-8")
    again = run_judged(tmp_path, monkeypatch, **changed)
    assert again.stage("evaluation").hashes() == before["evaluation"]
    assert again.stage("comparisons").hashes() != before["comparisons"]


@pytest.mark.parametrize(
    ("judge", "evaluation", "told"),
    [
        ({"expected": True}, {"controls": [{"name": "mt_bench_ja", "items": 1}]}, "with criteria"),
        ({"prompts": ("single",)}, {"controls": CONTROLS}, "no prompt for a second turn"),
        ({"prompts": ("single",)}, {"controls": CONTROLS[:1]}, "nothing is judged by it"),
        ({"prompts": ("pair",)}, {"controls": CONTROLS}, "nothing is judged by it"),
        (
            {"prompts": ("pair",)},
            {
                "controls": CONTROLS,
                "pairwise": {"between": [["base", ARM]], "controls": ["mt_bench_ja"]},
            },
            "no prompt for a second turn",
        ),
        ({"prompts": ()}, {"controls": CONTROLS}, "has no prompt to judge by"),
    ],
)
def test_what_cannot_be_judged_so_is_refused_before_anything_is_spent(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    judge: dict[str, Any],
    evaluation: dict[str, Any],
    told: str,
) -> None:
    if "prompts" in judge:
        judge = {"prompts": write_prompts(tmp_path, judge["prompts"])}
    recipe = judged_study(tmp_path, monkeypatch, {"judge": judge, **evaluation})
    with pytest.raises(UserError, match=told):
        check_before(load_recipe(recipe), tmp_path)
