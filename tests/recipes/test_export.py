"""An exported set is whole, says where it comes from, and claims nothing that is not known."""

import json
import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given

from languages import texts
from made import example
from studies import run_study, write_data_study, write_study
from teichaku.core.errors import UserError
from teichaku.core.records import Document, Dropped, Example, Fact, content_id
from teichaku.core.run_folder import RunFolder, StageFolder, dropped, read_records
from teichaku.curation.personal_data.labels import KINDS
from teichaku.curation.personal_data.masking import Action, PersonalDatum
from teichaku.recipes.data_card import card_languages, citations, render_card, size_category
from teichaku.recipes.dataset import read_dataset, source_of
from teichaku.recipes.export import Options, export_run, write_dataset
from teichaku.recipes.formats import FORMATS
from teichaku.recipes.method_schema import Method

TEXT = example("", "みさき号は2003年に建造された連絡船である。", method="paraphrase", style="easy")
INSTRUCTION = example(
    "次の文を短くしてください。", "舟が来た。", input="舟がこちらへやって来た。",
    method="self_instruct", document_id="", passage_id="",
)  # fmt: skip


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the scripted models, to be copied."""
    return run_study(write_study(tmp_path_factory.mktemp("export"))).path


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> RunFolder:
    shutil.copytree(finished, tmp_path / "boats")
    return RunFolder(tmp_path / "boats")


def curated(run: RunFolder) -> list[Example]:
    return list(run.stage("curation/qa").read("examples", Example))


def add(run: RunFolder, *more: Example) -> None:
    """Let the curation have handed on ``more``; what names no document of the run gets one."""
    (first, *_) = run.stage("documents").read("documents", Document)
    placed = [replace(e, document_id=first.id) if e.document_id else e for e in more]
    run.stage("curation/qa").write("examples", Example, [*curated(run), *placed])


def licensed(run: RunFolder, *licences: str) -> None:
    """Let the documents state ``licences``, the last one from there on."""
    documents = list(run.stage("documents").read("documents", Document))
    stated = [*licences, *[licences[-1]] * len(documents)]
    changed = [replace(d, licence=licence) for d, licence in zip(documents, stated, strict=False)]
    run.stage("documents").write("documents", Document, changed)


def taught_by(run: RunFolder, model: str, *accepted: str) -> None:
    """Let the recipe name another teacher, and accept terms by name."""
    recipe = yaml.safe_load((run.path / "recipe.yaml").read_text("utf-8"))
    recipe["teacher"] = {"backend": "http", "model": model, "base_url": "http://localhost/v1"}
    recipe["accept_terms"] = list(accepted)
    (run.path / "recipe.yaml").write_text(yaml.safe_dump(recipe), "utf-8")


def exported(run: RunFolder, **options: Any) -> Path:
    return export_run(run, options=Options(**options))[0].folder


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text("utf-8").splitlines()]


def front_matter(folder: Path) -> dict[str, Any]:
    _, head, _ = (folder / "README.md").read_text("utf-8").split("---\n", 2)
    loaded: dict[str, Any] = yaml.safe_load(head)
    return loaded


def test_every_curated_example_is_written_once_or_left_out_with_a_reason(run: RunFolder) -> None:
    add(run, TEXT, INSTRUCTION)
    sibling = next(e for e in curated(run) if e.question.endswith("料金は？"))
    fallen = dropped(sibling, "questions", "same_fact_as_unseen", "states the fact of x")
    run.stage("questions").write("siblings", Dropped, [fallen])
    folder = exported(run)
    training = list(read_records(folder / "examples.parquet", Example))
    held_out = list(read_records(folder / "held_out.parquet", Example))
    (left_out,) = read_records(folder / "left_out.parquet", Dropped)
    assert (left_out.record_id, left_out.reason) == (sibling.id, "same_fact_as_unseen")
    ids = [*(e.id for e in training), *(e.id for e in held_out), left_out.record_id]
    assert sorted(ids) == sorted(e.id for e in curated(run))
    counts = json.loads((folder / "export.json").read_text("utf-8"))["counts"]
    assert counts == {
        "in": len(ids), "out": len(ids) - 1, "dropped": 1, "reasons": {"same_fact_as_unseen": 1},
    }  # fmt: skip


def test_what_the_run_keeps_for_evaluation_is_in_no_training_file(run: RunFolder) -> None:
    folder = exported(run)
    held_out = {e.id: e for e in read_records(folder / "held_out.parquet", Example)}
    assert len(held_out) == 2
    for name in ("chat.jsonl", "alpaca.jsonl", "sharegpt.jsonl"):
        assert not held_out.keys() & {row["id"] for row in rows(folder, name)}
        assert all(e.question not in (folder / name).read_text("utf-8") for e in held_out.values())
    assert all(
        e.question not in (folder / "README.md").read_text("utf-8") for e in held_out.values()
    )


def test_parquet_keeps_every_field_of_the_record(run: RunFolder) -> None:
    add(run, TEXT, INSTRUCTION)
    folder = exported(run)
    assert pq.read_schema(folder / "examples.parquet").names == [f.name for f in fields(Example)]
    written = {e.id: e for e in read_records(folder / "examples.parquet", Example)}
    known = {e.id: e for e in curated(run)}
    assert written == {identifier: known[identifier] for identifier in written}
    assert all(known[e.id].request_key for e in written.values() if e.method == "document_qa")


def test_pairs_are_in_conversations_and_running_text_in_its_own_file(run: RunFolder) -> None:
    add(run, TEXT, INSTRUCTION)
    folder = exported(run)
    assert rows(folder, "text.jsonl") == [{"id": TEXT.id, "text": TEXT.answer}]
    training = {e.id: e for e in read_records(folder / "examples.parquet", Example)}
    for name in FORMATS:
        assert pq.read_table(folder / f"{name}.parquet").to_pylist() == rows(
            folder, f"{name}.jsonl"
        )
    for name in ("chat", "alpaca", "sharegpt"):
        found = {row.pop("id"): row for row in rows(folder, f"{name}.jsonl")}
        assert found.keys() == training.keys() - {TEXT.id}
        assert all(row == FORMATS[name].write(training[key]) for key, row in found.items())
    card = (folder / "README.md").read_text("utf-8")
    assert "`running_text` 1" in card
    assert f"`question_and_answer` {len(training) - 1}" in card


def test_a_question_is_exported_without_the_frame_of_the_run(run: RunFolder) -> None:
    folder = exported(run)
    for row in rows(folder, "chat.jsonl"):
        (made,) = [e for e in curated(run) if e.id == row["id"]]
        assert [turn["content"] for turn in row["messages"]] == [made.question, made.answer]


def test_facts_and_documents_that_examples_name_are_there_by_their_ids(run: RunFolder) -> None:
    fact = Fact(content_id("定員"), "d", "p", 0, "あおば丸の定員は48人である。")
    run.stage("synthesis/qa").write("facts", Fact, [fact])
    folder = exported(run)
    assert list(read_records(folder / "facts.parquet", Fact)) == [fact]
    named = {e.document_id for e in read_records(folder / "examples.parquet", Example)}
    documents = rows(folder, "documents.jsonl")
    assert named <= {document["id"] for document in documents}
    assert all(
        "text" not in document and document["licence"] == "CC0 1.0" for document in documents
    )


def test_the_card_and_the_list_of_documents_say_whom_to_name(run: RunFolder) -> None:
    documents = list(run.stage("documents").read("documents", Document))
    many = "、".join(f"著者{number}" for number in range(100))
    named = [
        replace(d, attribution=many if number == 0 else f"山田|{number}")
        for number, d in enumerate(documents)
    ]
    run.stage("documents").write("documents", Document, named)
    folder = exported(run)
    written = {row["id"]: row["attribution"] for row in rows(folder, "documents.jsonl")}
    shown = {d.id: d.attribution for d in named if d.id in written}
    assert written == shown
    card = (folder / "README.md").read_text("utf-8")
    (line,) = (line for line in card.splitlines() if line.startswith("| CC0 1.0 |"))
    for attribution in shown.values():
        name = attribution[:100].replace("|", "\\|")
        assert card.count(name) == 2  # with its licence, and with its document
        assert name in line
    assert many not in card


def test_documents_of_a_run_of_before_name_nobody(run: RunFolder) -> None:
    path = run.stage("documents").path / "documents.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["attribution"]), path)
    folder = exported(run, language="en")
    assert {row["attribution"] for row in rows(folder, "documents.jsonl")} == {""}
    card = (folder / "README.md").read_text("utf-8")
    assert "| title | source | licence | date |" in card
    assert "not stated: " in card


def test_a_licence_with_many_names_lists_some_and_counts_the_rest(run: RunFolder) -> None:
    dataset = read_dataset(source_of(run), "qa")
    (first, *_) = dataset.documents
    documents = [replace(first, attribution=f"著者{n:02}") for n in range(25)]
    card = render_card(replace(dataset, documents=documents), [], "en")
    (line,) = (line for line in card.splitlines() if line.startswith("| CC0 1.0 |"))
    assert line.count("著者") == 10
    assert "and 15 more" in line


def test_a_loader_of_data_sets_finds_every_part_by_the_card(run: RunFolder, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    add(run, TEXT)
    folder = exported(run)

    def load(name: str | None = None) -> Any:
        return datasets.load_dataset(str(folder), name, cache_dir=str(tmp_path / "cache"))

    whole = load()
    assert set(whole) == {"train", "test"}
    assert whole["train"].column_names == [f.name for f in fields(Example)]
    assert len(whole["train"]) + len(whole["test"]) == len(curated(run))
    assert set(datasets.get_dataset_config_names(str(folder))) == {"examples", *FORMATS}
    for name in FORMATS:
        assert load(name)["train"].to_list() == rows(folder, f"{name}.jsonl")


def test_the_same_run_gives_the_same_files(run: RunFolder, tmp_path: Path) -> None:
    def content(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    first, second = (export_run(run, tmp_path / name)[0].folder for name in ("one", "two"))
    assert content(first) == content(second)
    assert content(export_run(run, first)[0].folder) == content(second)


@pytest.mark.parametrize(
    ("licences", "model", "licence"),
    [
        (["CC0 1.0"], "Qwen/Qwen3-32B", "cc0-1.0"),
        (["CC BY-SA 4.0"], "Qwen/Qwen3-32B", "cc-by-sa-4.0"),
        (["CC0 1.0", "CC BY 4.0"], "Qwen/Qwen3-32B", None),
        (["CC0 1.0", ""], "Qwen/Qwen3-32B", None),
        (["a licence of ours"], "Qwen/Qwen3-32B", None),
        (["CC0 1.0"], "meta-llama/Llama-3.1-8B-Instruct", None),
        (["CC0 1.0"], "somebody/something", None),
    ],
)
def test_a_licence_is_stated_only_where_it_is_known(
    run: RunFolder, licences: list[str], model: str, licence: str | None
) -> None:
    licensed(run, *licences)
    taught_by(run, model)
    folder = exported(run, language="en")
    assert front_matter(folder).get("license") == licence
    assert ("Not stated, because" in (folder / "README.md").read_text("utf-8")) == (licence is None)


def test_an_example_without_a_document_leaves_the_licence_open(run: RunFolder) -> None:
    add(run, INSTRUCTION)
    folder = exported(run, language="en")
    assert "license" not in front_matter(folder)
    assert "1 examples come from no document" in (folder / "README.md").read_text("utf-8")


def test_seeds_have_a_say_where_examples_were_made_from_them(run: RunFolder) -> None:
    def seeded(licence: str) -> None:
        recipe = yaml.safe_load((run.path / "recipe.yaml").read_text("utf-8"))
        recipe["seeds"] = {"path": "seeds.jsonl", "licence": licence}
        (run.path / "recipe.yaml").write_text(yaml.safe_dump(recipe), "utf-8")

    seeded("社外秘")
    assert front_matter(exported(run))["license"] == "cc0-1.0"
    add(run, INSTRUCTION, replace(INSTRUCTION, id="0" * 16, method="seed", teacher=""))
    with pytest.raises(UserError, match=r"seeds\.jsonl"):
        export_run(run)
    seeded("CC0")
    folder = exported(run, language="en")
    assert front_matter(folder)["license"] == "cc0-1.0"
    card = (folder / "README.md").read_text("utf-8")
    assert "from instructions in seeds.jsonl; licence as stated: CC0" in card
    assert "people wrote 1 as seeds" in card
    seeded("")
    assert "license" not in front_matter(exported(run))


def test_the_language_is_that_of_the_examples(run: RunFolder) -> None:
    assert front_matter(exported(run))["language"] == ["ja"]
    unknown = [replace(e, language="") for e in curated(run)]
    run.stage("curation/qa").write("examples", Example, unknown)
    assert "language" not in front_matter(exported(run))
    run.stage("curation/qa").write("examples", Example, [replace(unknown[0], language="th")])
    assert front_matter(exported(run))["language"] == ["th"]


@pytest.mark.parametrize(
    ("count", "category"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (99_999, "10K<n<100K"), (10**12, "n>1T")],
)
def test_sizes_have_the_names_that_hubs_use(count: int, category: str) -> None:
    assert size_category(count) == category


def test_terms_that_forbid_training_refuse_the_export_until_accepted(run: RunFolder) -> None:
    taught_by(run, "gpt-4o")
    for options in (Options(), Options(private=True)):
        with pytest.raises(UserError, match="gpt-4o") as caught:
            export_run(run, options=options)
        assert "accept_terms: [openai-api]" in caught.value.hint
    assert not (run.path / "export").exists()
    taught_by(run, "gpt-4o", "openai-api")
    folder = exported(run, language="en")
    card = (folder / "README.md").read_text("utf-8")
    assert "compete with OpenAI" in card
    assert "The recipe accepts these terms by name" in card
    assert "license" not in front_matter(folder)


def test_the_card_says_what_the_terms_are_where_they_stand_and_when_they_were_read(
    run: RunFolder,
) -> None:
    taught_by(run, "meta-llama/Llama-3.1-8B-Instruct")
    card = (exported(run, language="en") / "README.md").read_text("utf-8")
    assert "allowed, with conditions" in card
    assert "llama3_1/LICENSE" in card
    assert "read: 2026-11-22" in card
    # The examples were written under another class, which the card does not hide.
    assert "carry another class from when they were written: permissive" in card
    taught_by(run, "somebody/something")
    card = (exported(run, language="en") / "README.md").read_text("utf-8")
    assert "Training on its output: not known" in card
    assert "its licence: not known" in card


def test_licences_that_forbid_publishing_refuse_it_but_for_private_use(run: RunFolder) -> None:
    licensed(run, "CC BY-ND 4.0", "CC0 1.0")
    with pytest.raises(UserError, match=r"CC BY-ND 4\.0") as caught:
        export_run(run)
    assert "--private" in caught.value.hint
    assert not (run.path / "export").exists()
    folder = exported(run, private=True, language="en")
    card = (folder / "README.md").read_text("utf-8")
    assert "not for publishing" in card
    assert "forbidden by its words" in card
    assert "license" not in front_matter(folder)


def test_documents_that_no_example_comes_from_have_no_say(run: RunFolder) -> None:
    stranger = Document("d0", "docs/else.txt", "よその文書", "本文", licence="社外秘")
    documents = [*run.stage("documents").read("documents", Document), stranger]
    run.stage("documents").write("documents", Document, documents)
    assert "よその文書" not in (exported(run) / "README.md").read_text("utf-8")


def test_a_folder_that_no_export_wrote_is_refused_and_left_as_it_is(
    run: RunFolder, tmp_path: Path
) -> None:
    out = tmp_path / "mine"
    (out / ".git").mkdir(parents=True)
    (out / ".git" / "HEAD").write_text("ref")
    export_run(run, out)  # what is hidden, such as a repository, is no reason to refuse
    (out / "LICENSE").write_text("mine")
    export_run(run, out)  # nor are files that were put beside an export
    assert (out / "LICENSE").read_text() == "mine"
    for name, content in (("notes.txt", "mine"), ("export.json", "{}")):
        other = tmp_path / f"other-{name}"
        other.mkdir()
        (other / name).write_text(content)
        with pytest.raises(UserError, match="did not write"):
            export_run(run, other)
        assert [path.name for path in other.iterdir()] == [name]
    with pytest.raises(UserError, match="no folder"):
        export_run(run, out / "LICENSE")


def test_another_export_replaces_the_files_of_the_one_before(run: RunFolder) -> None:
    folder = exported(run)
    assert (folder / "alpaca.jsonl").is_file()
    exported(run, formats=("chat",))
    assert (folder / "chat.jsonl").is_file()
    assert not list(folder.glob("alpaca.*"))
    assert {c["config_name"] for c in front_matter(folder)["configs"]} == {"examples", "chat"}


def test_an_export_that_was_killed_is_taken_up_again(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from teichaku.recipes import export

    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(export, "write_records", killed)
        export_run(run, out)
    assert json.loads((out / "export.json").read_text("utf-8"))["finished"] is False
    export_run(run, out)
    assert json.loads((out / "export.json").read_text("utf-8"))["finished"] is True


def test_a_form_that_no_example_fits_is_refused_with_one_that_fits(run: RunFolder) -> None:
    with pytest.raises(UserError, match="questions with answers") as caught:
        export_run(run, options=Options(formats=("text",)))
    assert "--format chat" in caught.value.hint
    run.stage("curation/qa").write("examples", Example, [TEXT])
    with pytest.raises(UserError, match="running text") as caught:
        export_run(run, options=Options(formats=("alpaca",)))
    assert "--format text" in caught.value.hint


@pytest.fixture(scope="session")
def two_arms(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("two")
    recipe = write_study(folder)
    second = "  few:\n    examples: [{method: document_qa, per_passage: 2}]\nquestions:"
    recipe.write_text(recipe.read_text("utf-8").replace("questions:", second, 1), "utf-8")
    return run_study(recipe)


def test_each_arm_has_a_folder_of_its_own(two_arms: RunFolder, tmp_path: Path) -> None:
    done = export_run(two_arms, tmp_path / "all")
    assert [found.folder.name for found in done] == ["qa", "few"]
    for found in done:
        card = (found.folder / "README.md").read_text("utf-8")
        assert front_matter(found.folder)["pretty_name"] == f"boats ({found.arm})"
        assert f"`synthesis/{found.arm}`" in card
    export_run(two_arms, tmp_path / "all")
    (tmp_path / "all" / "notes").mkdir()
    with pytest.raises(UserError, match="did not write"):
        export_run(two_arms, tmp_path / "all")


def test_one_arm_is_chosen_by_its_name_or_by_a_point_of_its_matrix(
    two_arms: RunFolder, tmp_path: Path
) -> None:
    for number, name in enumerate(("qa", "qa@learning_rate=0.001")):
        (found,) = export_run(two_arms, tmp_path / str(number), name)
        assert (found.arm, found.folder) == ("qa", tmp_path / str(number))
    with pytest.raises(UserError, match="no arm 'none'") as caught:
        export_run(two_arms, tmp_path / "none", "none")
    assert "qa, few" in caught.value.hint


def test_an_arm_that_is_not_finished_is_refused(run: RunFolder) -> None:
    stages = run.read_json("stages.json")
    run.write_json("stages.json", {k: v for k, v in stages.items() if k != "curation/qa"})
    with pytest.raises(UserError, match="not finished"):
        export_run(run)


def test_a_set_can_be_the_last_stage_of_a_run(run: RunFolder, tmp_path: Path) -> None:
    folder = StageFolder(tmp_path / "export" / "qa")
    folder.begin("made from this")
    outcome = write_dataset(source_of(run), "qa", folder.path)
    folder.finish("made from this", outcome.summary())
    assert outcome.taken == len(curated(run))
    assert folder.is_finished("made from this")
    assert len(rows(folder.path, "chat.jsonl")) == outcome.notes["rows"]["chat.jsonl"]


def test_without_questions_every_curated_example_is_for_training(run: RunFolder) -> None:
    stages = run.read_json("stages.json")
    run.write_json("stages.json", {k: v for k, v in stages.items() if k != "questions"})
    folder = exported(run, language="en")
    assert not (folder / "held_out.parquet").exists()
    assert len(rows(folder, "chat.jsonl")) == len(curated(run))
    assert "The run keeps no examples for testing" in (folder / "README.md").read_text("utf-8")


def test_the_recipe_lies_beside_the_set(run: RunFolder) -> None:
    assert (exported(run) / "recipe.yaml").read_bytes() == (run.path / "recipe.yaml").read_bytes()


def test_cards_are_in_the_language_of_the_recipe_or_the_one_asked_for(run: RunFolder) -> None:
    assert card_languages() == ["en", "ja"]
    assert "## 教師モデルとその規約" in (exported(run) / "README.md").read_text("utf-8")
    assert "## Teacher and its terms" in (exported(run, language="en") / "README.md").read_text(
        "utf-8"
    )
    with pytest.raises(UserError, match="no card in 'xx'"):
        export_run(run, options=Options(language="xx"))


def test_both_cards_have_the_same_parts_and_figures(run: RunFolder) -> None:
    add(run, TEXT, INSTRUCTION)

    def shape(language: str) -> list[str]:
        lines = (exported(run, language=language) / "README.md").read_text("utf-8").splitlines()
        return ["|" * line.count("|") or line[:2] for line in lines if line[:1] in tuple("|#->{")]

    assert shape("ja") == shape("en")


def test_every_method_is_cited_and_an_unknown_one_is_said_to_be(run: RunFolder) -> None:
    (methods, _) = get_args(Method)
    names = {get_args(kind.model_fields["method"].annotation)[0] for kind in get_args(methods)}
    assert {"document_qa", "paraphrase"} <= names
    assert names <= citations().keys()
    add(run, TEXT, replace(TEXT, id="0" * 16, method="of_mine"))
    card = (exported(run, language="en") / "README.md").read_text("utf-8")
    assert "<https://arxiv.org/abs/2401.16380>" in card
    assert "| `of_mine` | 1 | not known |" in card


def test_a_filter_that_was_published_is_cited_too(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {**citations(), "duplicates": [{"authors": "A. Author"}]}
    monkeypatch.setattr("teichaku.recipes.data_card.citations", lambda: known)
    card = (exported(run, language="en") / "README.md").read_text("utf-8")
    assert "| `duplicates` | (filter) | A. Author: title not known |" in card


def test_the_card_counts_prompts_tokens_and_what_fell(run: RunFolder) -> None:
    grounded = dropped(TEXT, "curation", "not_grounded", "")
    summary = run.stage("curation/qa").summary() or {}
    summary["counts"] = {"in": 16, "out": 15, "dropped": 1, "reasons": {grounded.reason: 1}}
    run.write_json("curation/qa/stage.json", summary)
    priced = [replace(e, price=0.25) for e in curated(run)]
    run.stage("curation/qa").write("examples", Example, priced)
    card = (exported(run, language="en") / "README.md").read_text("utf-8")
    assert f"| `ja/document_qa@2` | {len(priced)} |" in card
    assert "| `curation/qa` | 16 | 15 | `not_grounded` 1 |" in card
    tokens = f"{round(sum(e.prompt_tokens for e in priced)):,}"
    assert f"| in the set | {len(priced)} | {tokens} |" in card
    assert f"| {len(priced) * 0.25:,.4f} USD |" in card
    assert "grounded (threshold 0.8" in card


def card_in(run: RunFolder, language: str = "en") -> str:
    return (exported(run, language=language) / "README.md").read_text("utf-8")


def test_the_card_says_how_much_personal_data_was_found_and_never_what(run: RunFolder) -> None:
    assert "| personal data | not looked for | |" in card_in(run)
    assert "\n- Personal data.\n" in card_in(run)
    recipe = yaml.safe_load((run.path / "recipe.yaml").read_text("utf-8"))
    recipe["curation"].append({"name": "personal_data", "kinds": ["email", "phone"]})
    (run.path / "recipe.yaml").write_text(yaml.safe_dump(recipe), "utf-8")
    assert "| personal data | nothing | |" in card_in(run)
    first = curated(run)[0].id
    found = [
        PersonalDatum(first, "answer", "phone", place, place + 12, "**-****-9876", "mask")
        for place in (0, 40)
    ]
    run.stage("curation/qa").write("personal_data", PersonalDatum, found)
    card = card_in(run)
    told = "| personal data: telephone numbers | 2 in 1 examples | a label stands in their place |"
    assert told in card
    assert "tell of these: e-mail addresses, telephone numbers.\n" in card
    assert "9876" not in card + card_in(run, "ja")


def test_the_card_says_what_the_check_for_benchmark_items_found(run: RunFolder) -> None:
    # Those of its own control sets were looked for without being asked.
    assert "| benchmark items: jcommonsenseqa, jnli | 0 of 9 items, in 0 of" in card_in(run)
    summary = run.stage("curation/qa").summary() or {}
    run.write_json("curation/qa/stage.json", {**summary, "notes": {}})
    assert "| benchmark items | not looked for | |" in card_in(run)
    leaks = {"files": ["a|b.jsonl"], "items": 40, "leaking_items": 2, "texts": 1500,
             "leaking_examples": 5, "action": "report", "shown": [{"item": "漏れた問題"}]}  # fmt: skip
    run.write_json("curation/qa/stage.json", {**summary, "notes": {"leaks": leaks}})
    card = card_in(run)
    told = "2 of 40 items, in 5 of 1,500 examples | **left as they are** |"
    assert f"| benchmark items: a\\|b.jsonl | {told}" in card
    assert "benchmarks other than those above" in card
    assert "漏れた問題" not in card


def test_every_kind_of_personal_data_has_a_name_on_both_cards(run: RunFolder) -> None:
    recipe = yaml.safe_load((run.path / "recipe.yaml").read_text("utf-8"))
    recipe["curation"] = [{"name": "personal_data", "kinds": list(KINDS)}]
    (run.path / "recipe.yaml").write_text(yaml.safe_dump(recipe), "utf-8")
    found = [
        PersonalDatum("e", "answer", kind, 0, 1, "*", action)
        for kind in KINDS
        for action in get_args(Action)
    ]
    run.stage("curation/qa").write("personal_data", PersonalDatum, found)
    assert card_in(run, "en").count("\n| personal data: ") == len(found)
    assert card_in(run, "ja").count("\n| 個人情報：") == len(found)


@pytest.fixture(scope="session")
def card_of(finished: Path) -> Callable[[str], str]:
    dataset = read_dataset(source_of(RunFolder(finished)), "qa")

    def card(title: str) -> str:
        (document, *_) = dataset.documents
        named = replace(document, title=title, source=f"docs/{title}", attribution=f"a{title}")
        return render_card(replace(dataset, documents=[named]), (), "en")

    return card


@given(texts)
def test_no_text_of_a_document_breaks_the_card(card_of: Callable[[str], str], title: str) -> None:
    plain, card = card_of("x"), card_of(title)
    assert len(card.split("\n")) == len(plain.split("\n"))
    unescaped = card.replace("\\\\", "").replace("\\|", "")
    assert unescaped.count("|") == plain.count("|")
    assert "<script" not in card_of(f"{title}<script>")


def test_the_sample_cannot_end_its_block(run: RunFolder) -> None:
    fenced = "```\n# no heading\n```"
    run.stage("curation/qa").write("examples", Example, [replace(TEXT, answer=fenced)])
    card = (exported(run, language="en") / "README.md").read_text("utf-8")
    assert "````json" in card
    assert "\n# no heading" not in card


def test_an_export_leaves_the_data_set_of_the_run_alone(tmp_path: Path) -> None:
    run = run_study(write_data_study(tmp_path))
    owned = run.path / "dataset" / "qa"
    before = sorted(owned.iterdir())
    (found,) = export_run(run, options=Options(formats=("chat",)))
    assert found.folder == run.path / "export" / "qa"
    assert sorted(owned.iterdir()) == before
    assert (owned / "alpaca.jsonl").is_file()
    for out in (owned, owned.parent):
        with pytest.raises(UserError, match="holds a stage of a run"):
            export_run(run, out)
    assert sorted(owned.iterdir()) == before


def test_the_exports_of_one_arm_and_of_all_are_told_apart(
    two_arms: RunFolder, tmp_path: Path
) -> None:
    export_run(two_arms, tmp_path / "one", "few")
    with pytest.raises(UserError, match="holds the export of one arm") as caught:
        export_run(two_arms, tmp_path / "one")
    assert "--arm" in caught.value.hint
    export_run(two_arms, tmp_path / "all")
    with pytest.raises(UserError, match="holds the exports of several arms"):
        export_run(two_arms, tmp_path / "all", "few")
    export_run(two_arms, tmp_path / "all" / "few", "few")


def test_terms_that_changed_since_the_run_are_told_with_what_they_were(run: RunFolder) -> None:
    about = run.read_json("run.json")
    run.write_json("run.json", {**about, "command": "teichaku run boats.yaml"})
    taught_by(run, "gpt-4o")
    with pytest.raises(UserError, match="When the run was made, its terms were scripted") as caught:
        export_run(run)
    assert caught.value.hint.endswith("Go on: teichaku run boats.yaml")
