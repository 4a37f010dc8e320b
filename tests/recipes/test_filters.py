"""What the filters of a recipe are made from, and what they tell each other."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast

import pytest

from made import example
from studies import run_study, write_data_study
from teichaku.core.records import Dropped, Example
from teichaku.core.run_folder import RunFolder
from teichaku.curation.judge_screen import JudgeScreening
from teichaku.curation.magpie_screen import Screening
from teichaku.curation.ngram_vectors import NgramVectors
from teichaku.recipes.data_stages import independent_fingerprint
from teichaku.recipes.filter_schema import Filter, NamedFilter, NearDuplicates, SemanticDuplicates
from teichaku.recipes.filters import Noted, build_filter, filters_fingerprint
from teichaku.recipes.load import load_recipe
from teichaku.recipes.study import Study
from teichaku.recipes.workshop import Workshop

ALIKE: dict[str, Any] = {"name": "semantic_duplicates", "share": 0.8}
SERVED = {"backend": "http", "model": "m", "base_url": "http://localhost:1/v1"}
STAGES = ("synthesis/qa", "curation/qa")


@pytest.fixture
def any_embedder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every embedder counts n-grams."""
    monkeypatch.setattr(Workshop, "embedder", lambda self, config, corpus: NgramVectors(corpus))


def fingerprints(run: RunFolder) -> list[str]:
    return [(run.stage(name).summary() or {})["fingerprint"] for name in STAGES]


@pytest.mark.parametrize("until", [False, True])
@pytest.mark.usefixtures("any_embedder")
def test_with_another_embedder_what_compares_by_it_is_made_anew(
    tmp_path: Path, until: bool
) -> None:
    arm: dict[str, Any] = {"examples": [{"method": "document_qa", "per_passage": 5}]}
    if until:
        arm["until"] = {"statements_per_fact": 1, "rounds": 1}
    study: dict[str, Any] = {"arms": {"qa": arm}, "curation": [ALIKE]}
    before = fingerprints(run_study(write_data_study(tmp_path, **study)))
    after = fingerprints(run_study(write_data_study(tmp_path, **study, embedder=SERVED)))
    assert before[1] != after[1]
    assert (before[0] != after[0]) is until


ASKED = {"batch_size": 2, "licence": "MIT", "api_key_env": "KEY", "timeout_seconds": 9}


@pytest.mark.usefixtures("any_embedder")
def test_how_an_embedder_is_asked_and_what_it_costs_makes_nothing_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "secret")
    arm = {
        "examples": [{"method": "document_qa", "per_passage": 5}],
        "until": {"statements_per_fact": 1, "rounds": 1},
        "select": {"method": "facility_location", "share": 0.5},
    }
    study: dict[str, Any] = {"arms": {"qa": arm}, "curation": [ALIKE]}
    kept = tmp_path / "runs" / "boats" / "similarities" / "qa"
    before = fingerprints(run_study(write_data_study(tmp_path, **study, embedder=SERVED)))
    pairs = {path.name: path.stat().st_mtime_ns for path in kept.iterdir()}
    dearer = {**SERVED, **ASKED, "price": {"input": 9}}
    assert fingerprints(run_study(write_data_study(tmp_path, **study, embedder=dearer))) == before
    other = {**SERVED, "extra": {"dimensions": 8}}
    after = fingerprints(run_study(write_data_study(tmp_path, **study, embedder=other)))
    assert after[0] != before[0] and after[1] != before[1]
    assert pairs.keys() == {path.name for path in kept.iterdir()}
    assert pairs != {path.name: path.stat().st_mtime_ns for path in kept.iterdir()}


def test_a_folder_with_other_weights_is_another_embedder_of_the_filters(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    embedder = {"backend": "sentence_transformers", "model": str(folder)}
    found = []
    for weights in ("one", "two", "one"):
        (folder / "model.safetensors").write_text(weights, "utf-8")
        recipe = load_recipe(write_data_study(tmp_path, curation=[ALIKE], embedder=embedder))
        found.append(filters_fingerprint(recipe))
    assert found[0] == found[2] != found[1]


def test_where_nothing_compares_another_embedder_changes_nothing(tmp_path: Path) -> None:
    before = fingerprints(run_study(write_data_study(tmp_path)))
    assert fingerprints(run_study(write_data_study(tmp_path, embedder=SERVED))) == before


def test_questions_made_apart_are_filtered_by_the_embedder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("teichaku.recipes.data_stages.method_fingerprint", lambda method: "")
    monkeypatch.setattr("teichaku.recipes.data_stages.independent_method", lambda study: None)

    def found(**changes: Any) -> list[str]:
        recipe = load_recipe(
            write_data_study(tmp_path, questions={"kinds": ["independent"]}, **changes)
        )
        return independent_fingerprint(cast(Study, SimpleNamespace(recipe=recipe)))

    assert found(curation=[ALIKE]) != found(curation=[ALIKE], embedder=SERVED)
    assert found() == found(embedder=SERVED)


SHORT = example("あおば丸の定員は何人ですか", "48人", id="a")
LONG = example("あおば丸の定員は何人ですか。", "48人です。", id="b")


def by_judge(name: str, score: float | None, expected: float | None = None) -> JudgeScreening:
    return JudgeScreening(name, "judge", score, expected, "")


@pytest.mark.parametrize(
    ("keep", "notes", "stays"),
    [
        ("score", [], "b"),
        ("score", [by_judge("a", 5), by_judge("b", 4)], "a"),
        ("score", [by_judge("a", 4), by_judge("b", 4)], "b"),
        ("score", [by_judge("a", 4, 4.4), by_judge("b", 5, 4.2)], "a"),
        ("score", [by_judge("a", 1), by_judge("b", None)], "a"),
        ("score", [Screening("a", "j", "", "", 9, "", ()), Screening("b", "j", "", "", 8, "", ())],
         "a"),
        ("longest", [by_judge("a", 5), by_judge("b", 4)], "b"),
    ],
)  # fmt: skip
def test_of_duplicates_the_one_that_a_judge_scored_best_stays(
    tmp_path: Path, keep: Literal["score", "longest"], notes: list[Any], stays: str
) -> None:
    workshop = SimpleNamespace(embedder=lambda config, corpus: NgramVectors(corpus))
    recipe = load_recipe(write_data_study(tmp_path))
    study = cast(Study, SimpleNamespace(recipe=recipe, workshop=workshop))
    noted = Noted()
    sections: list[Filter] = [
        NearDuplicates(name="near_duplicates", threshold=0.7, keep=keep),
        SemanticDuplicates(name="semantic_duplicates", threshold=0.5, keep=keep),
    ]
    if keep == "score":  # The only way of this one.
        sections.append(NamedFilter(name="duplicates"))
    for section in sections:
        apply = build_filter(study, section, noted)
        # Judges speak while the filters run.
        for note in notes:
            noted(note)
        made = list(apply([SHORT, LONG]))
        assert [row.id for row in made if isinstance(row, Example)] == [stays]
        assert sum(isinstance(row, Dropped) for row in made) == 1


MAIL = "taro@aoba-ferry.jp"


@pytest.mark.parametrize("action", ["mask", "drop", "report"])
def test_seeds_show_no_personal_data_and_are_not_dropped(tmp_path: Path, action: str) -> None:
    recipe = write_data_study(
        tmp_path, seeds={"path": "mine.jsonl"}, curation=[{"name": "personal_data", "action": action}]
    )  # fmt: skip
    (tmp_path / "mine.jsonl").write_text(
        f'{{"instruction": "{MAIL} にあてて断りの手紙を書いてください。", "output": "拝啓"}}\n',
        "utf-8",
    )
    run = run_study(recipe)
    (seed,) = (e for e in run.stage("curation/qa").read("examples", Example) if e.method == "seed")
    assert (MAIL in seed.question) is (action == "report")
    assert (run.path / "curation" / "qa" / "personal_data.parquet").is_file()
