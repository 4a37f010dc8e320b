import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from made import example, passage
from teichaku.cli import app
from teichaku.core.errors import UserError
from teichaku.core.records import Example, Fact
from teichaku.core.run_folder import RunFolder
from teichaku.recipes.coverage import run_coverage

STATEMENTS = (
    "あおば丸の定員は48人である。",
    "あおば丸は1987年に建造された。",
    "あおば丸の船体は檜でできている。",
    "あおば丸の船長は佐伯である。",
)
CAPACITY = example("あおば丸の定員は何人ですか。", "48人")
BUILT = example("あおば丸が建造されたのはいつですか。", "1987年")
TEXT = example("", "あおば丸の船体は檜でできていて、定員は48人である。", method="facts")


def facts() -> list[Fact]:
    unit = passage()
    return [
        Fact(f"f{index}", unit.document_id, unit.id, index, text)
        for index, text in enumerate(STATEMENTS)
    ]


def finish(run: RunFolder, stage: str, examples: list[Example], listed: list[Fact]) -> None:
    folder = run.stage(stage)
    folder.begin("made")
    folder.write("examples", Example, examples)
    if listed:
        folder.write("facts", Fact, listed)
    folder.finish("made", {"counts": {}})
    run.add_stage(stage, "made")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """Two arms, one of which lists the facts; its curation drops an example."""
    found = RunFolder(tmp_path / "runs" / "boats")
    found.write_json("run.json", {"name": "boats", "language": "ja"})
    found.begin_stages()
    finish(found, "documents", [], [])
    finish(found, "synthesis/facts", [CAPACITY, BUILT, TEXT], facts())
    finish(found, "curation/facts", [CAPACITY, TEXT], [])
    finish(found, "synthesis/qa", [BUILT], [])
    return found


def test_every_arm_is_measured_by_the_facts_that_any_arm_lists(run: RunFolder) -> None:
    listing, qa = run_coverage(run)
    assert (listing.arm, listing.made.facts, qa.arm, qa.made.facts) == ("facts", 4, "qa", 4)
    assert listing.made.total.facts_by_statements["2-5"] == 1, "the capacity, by pair and text"
    assert [fact.id for fact in qa.unstated] == ["f0", "f2", "f3"]
    assert qa.curated is None


def test_curation_shows_what_it_takes_away(run: RunFolder) -> None:
    (listing,) = run_coverage(run, "facts")
    assert listing.curated is not None
    assert [listing.made.total.share, listing.curated.total.share] == [0.75, 0.5]
    assert [fact.id for fact in listing.unstated] == ["f1", "f3"]
    assert [(stage, row.method) for stage, row in listing.rows()] == [
        ("made", "document_qa"), ("made", "facts"), ("made", ""),
        ("curated", "document_qa"), ("curated", "facts"), ("curated", ""),
    ]  # fmt: skip


def test_a_run_without_facts_is_told_which_key_to_add(run: RunFolder) -> None:
    finish(run, "synthesis/facts", [CAPACITY], [])
    (run.path / "synthesis" / "facts" / "facts.parquet").unlink()
    with pytest.raises(UserError, match="No arm") as caught:
        run_coverage(run)
    assert "facts: true" in caught.value.hint
    run.write_json("run.json", {"command": "teichaku run boats.yaml"})
    with pytest.raises(UserError, match="No arm") as caught:
        run_coverage(run)
    assert caught.value.hint.endswith("Go on: teichaku run boats.yaml")
    with pytest.raises(UserError, match="no arm 'q'") as unknown:
        run_coverage(run, "q")
    assert "facts, qa" in unknown.value.hint


def call(run: RunFolder, *arguments: str) -> str:
    ran = CliRunner().invoke(
        app, ["coverage", str(run.path), *arguments], env={"TEICHAKU_LANG": "en", "COLUMNS": "120"}
    )
    assert ran.exit_code == 0, ran.output
    return ran.stdout


def test_the_command_prints_the_table_and_the_facts_without_a_statement(run: RunFolder) -> None:
    shown = call(run, "--arm", "facts")
    assert "facts: 2 of 4 facts are stated by no example:" in shown
    assert STATEMENTS[1] in shown
    assert STATEMENTS[0] not in shown
    (total,) = [line for line in shown.splitlines() if "after curation" in line and " all " in line]
    assert total.split()[-7:] == ["2", "2", "1", "1", "0", "0", "50%"]


def test_the_first_twenty_facts_are_listed_unless_all_are_wanted(run: RunFolder) -> None:
    many = [
        Fact(f"g{n:02}", passage().document_id, passage().id, 9 + n, f"あおば丸の第{n + 600}条。")
        for n in range(30)
    ]
    finish(run, "synthesis/facts", [CAPACITY], [*facts(), *many])
    assert "and 13 more: --all" in call(run, "--arm", "qa")
    assert call(run, "--arm", "qa").count("条。") == 20 - 3
    assert call(run, "--arm", "qa", "--all").count("条。") == 30


def test_json_has_every_figure_and_every_fact(run: RunFolder) -> None:
    (qa,) = json.loads(call(run, "--arm", "qa", "--json"))
    assert qa["made"]["total"]["facts_by_statements"]["0"] == 3
    assert [fact["statement"] for fact in qa["unstated"]] == [
        STATEMENTS[0], STATEMENTS[2], STATEMENTS[3],
    ]  # fmt: skip
    assert qa["curated"] is None


def test_a_run_of_seeds_alone_is_not_told_to_list_facts(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.begin_stages()
    finish(run, "synthesis/spread", [example("俳句を。", "夏草や", document_id="")], [])
    with pytest.raises(UserError, match="begins with seeds alone") as caught:
        run_coverage(run)
    assert "facts: true" not in caught.value.hint
    assert str(tmp_path) in caught.value.hint
