"""What ships is what was published: rows, hashes, licences; what does not says where to get it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from teichaku.core.errors import UserError
from teichaku.core.records import Answer, Question, content_id
from teichaku.core.run_folder import read_records, write_records
from teichaku.evaluation.benchmarks import catalogue
from teichaku.evaluation.benchmarks.catalogue import benchmark, from_the_user, read_rows, shipped
from teichaku.evaluation.benchmarks.data_file import Sample, published_bytes
from teichaku.evaluation.benchmarks.metrics import METRICS, NOT_COMPUTED
from teichaku.evaluation.benchmarks.prepared import prepare
from teichaku.evaluation.benchmarks.rows import Item, items_of
from teichaku.evaluation.judging.exchanges import benchmark_exchanges
from teichaku.evaluation.scorers import SCORERS

each_set = pytest.mark.parametrize("name", sorted(shipped()))

#: The sets of llm-jp-eval 1.3 whose whole dev split is in the package.
REBUILT = (
    "niilc",
    "wiki_reading",
    "wiki_ner",
    "wiki_dependency",
    "wiki_pas",
    "wiki_coreference",
)


@pytest.mark.parametrize("name", REBUILT)
def test_the_dev_file_of_llm_jp_eval_is_rebuilt_byte_by_byte(name: str) -> None:
    samples = [Sample(item.question.question, item.references[0]) for item in items_of(name, "dev")]
    found = hashlib.sha256(published_bytes(name, samples)).hexdigest()
    assert found == catalogue.specification()["datasets"][name]["dev_sha256"]
    # One letter more is another file.
    changed = [*samples[:-1], Sample(samples[-1].input, samples[-1].output + "。")]
    assert hashlib.sha256(published_bytes(name, changed)).hexdigest() != found


@each_set
def test_a_set_has_its_licence_its_source_and_the_rows_that_it_says(name: str) -> None:
    of = benchmark(name)
    assert of.licence
    assert of.attribution
    assert " @ " in of.source
    note = (catalogue.DATA / name / "LICENCE-NOTE.txt").read_text(encoding="utf-8")
    assert "Licence" in note
    assert of.source.partition(" @ ")[2] in note
    for split in of.splits:
        assert read_rows(of, split)
    assert of.metric in {*METRICS, "judge", "instructions_followed"}
    assert of.beside in {"", *METRICS}
    if of.specification:
        assert of.specification in catalogue.specification()["datasets"]


@each_set
def test_items_are_controls_with_identities_of_their_own(name: str) -> None:
    seen: set[str] = set()
    for split in benchmark(name).splits:
        if split in ("references", "verdicts"):
            continue
        items = items_of(name, split)
        for item in items:
            assert item.question.kind == "control"
            assert item.question.benchmark == name
            assert item.question.question.strip()
            assert item.question.document_id
            assert item.references[0] == item.question.reference
        identities = {item.question.id for item in items}
        assert len(identities) == len(items)
        assert not seen & identities
        seen |= identities


def first(name: str) -> Item:
    return items_of(name)[0]


def test_rows_are_shown_as_llm_jp_eval_shows_them() -> None:
    assert first("jsquad").question.question.startswith("文章：梅雨 [SEP] 梅雨（つゆ")
    assert first("jsquad").question.question.endswith(
        "\n質問：日本で梅雨がないのは北海道とどこか。"
    )
    assert first("jcommonsenseqa").question.question.endswith(
        "\n選択肢：0.掲示板,1.パソコン,2.マザーボード,3.ハードディスク,4.まな板"
    )
    assert first("jmmlu").question.question.endswith("\n選択肢：A.8,B.2,C.24,D.120")
    assert first("jnli").question.question.startswith("前提：時計がついている")
    assert first("jsts").question.question.startswith("文1：レンガの建物")
    # The rows of its own dev split have the same form as those that we make.
    (dev, *_), (test, *_) = items_of("jcommonsenseqa", "dev"), items_of("jcommonsenseqa")
    assert dev.question.question.startswith("質問：")
    assert "\n選択肢：0." in dev.question.question
    assert "\n選択肢：0." in test.question.question


def test_what_stands_or_falls_together_shares_a_document() -> None:
    def documents(name: str) -> int:
        return len({item.question.document_id for item in items_of(name)})

    assert documents("jsquad") == 4
    assert documents("jnli") == 229
    assert documents("ami_meeting_mt") == 3
    assert documents("mt_bench_ja") == 80
    assert len({item.question.passage_id for item in items_of("jsquad")}) == 125
    # Four problems of MAWPS stand there twice.
    assert documents("mawps") == 496


def test_conversations_have_two_turns_with_references_where_they_are_known() -> None:
    items = items_of("mt_bench_ja")
    assert [item.turn for item in items[:4]] == [0, 1, 0, 1]
    assert sum(bool(item.question.reference) for item in items) == 2 * 30
    assert {i.question.category for i in items if i.question.reference} == {
        "coding",
        "math",
        "reasoning",
    }


def test_references_by_a_model_of_openai_are_marked() -> None:
    marked = {name for name, of in shipped().items() if of.reference_use == "judge_only"}
    assert marked == {"mt_bench_ja", "mt_bench_en", "ja_vicuna_qa"}
    assert len(benchmark("mt_bench_en").doubtful_references) == 13


def test_references_that_are_reported_wrong_are_shown_to_no_judge() -> None:
    of = benchmark("mt_bench_en")
    wrong = {content_id("control", of.name, one) for one in of.doubtful_references}
    items = items_of("mt_bench_en")
    doubtful = [item for item in items if item.conversation in wrong]
    # They are asked all the same, both turns.
    assert len(doubtful) == 2 * 13
    answers = [
        Answer(item.question.id, item.question.id, "base", "base", "closed_book", "18")
        for item in doubtful
    ]
    shown = benchmark_exchanges(answers, items)
    assert {one.shown_reference(None) for one in shown} == {""}
    assert {item.references for item in doubtful} == {("",)}
    # 30 conversations have references.
    assert sum(bool(item.question.reference) for item in items) == 2 * (30 - 13)
    (note,) = [note for note in prepare("mt_bench_en").notes if "reported wrong" in note]
    assert note == "13 references are reported wrong, and no judge is shown them"


def test_criteria_stand_with_the_tasks_of_elyza() -> None:
    items = items_of("elyza_tasks_100")
    assert len(items) == 100
    assert all(item.criteria.strip() for item in items)


def test_a_file_that_has_changed_is_refused(
    tmp_path: Path,
) -> None:
    of = benchmark("niilc")
    changed = tmp_path / "test.jsonl"
    changed.write_bytes(of.splits["test"].path.read_bytes() + b"\n")
    split = catalogue.Split(changed, 198, of.splits["test"].sha256)
    other = catalogue.Benchmark(**{**vars(of), "splits": {"test": split}})
    with pytest.raises(UserError, match="has changed: its SHA-256 is"):
        read_rows(other)


def test_an_unknown_set_or_split_is_refused_with_what_there_is() -> None:
    with pytest.raises(UserError) as unknown:
        benchmark("jsqad")
    assert "Did you mean jsquad?" in unknown.value.hint
    with pytest.raises(UserError, match="has no split 'train'"):
        items_of("jsquad", "train")


@pytest.mark.parametrize("name", sorted(from_the_user()))
def test_a_set_that_may_not_ship_says_why_and_exactly_how_to_bring_it(name: str) -> None:
    with pytest.raises(UserError) as refused:
        benchmark(name)
    assert "does not ship with Teichaku: " in refused.value.message
    assert f"dev/{name}.json" in refused.value.hint
    assert '"samples": [{"input": ..., "output": ...}]' in refused.value.hint
    assert from_the_user()[name].metric in {*METRICS, *NOT_COMPUTED}


@dataclass(frozen=True, slots=True)
class _OlderQuestion:
    """A question as runs wrote it before there were benchmarks."""

    id: str
    kind: str
    document_id: str
    passage_id: str
    example_id: str
    question: str
    reference: str
    category: str = ""
    prompt: str = ""
    request_key: str = ""


def test_questions_of_older_runs_are_of_no_benchmark_and_new_ones_come_back(
    tmp_path: Path,
) -> None:
    older = _OlderQuestion("q", "trained", "d", "p", "e", "定員は？", "48人")
    write_records(tmp_path / "older.parquet", _OlderQuestion, [older])
    (read,) = read_records(tmp_path / "older.parquet", Question)
    assert (read.kind, read.benchmark, read.reference) == ("trained", "", "48人")
    controls = [item.question for item in items_of("niilc")]
    write_records(tmp_path / "controls.parquet", Question, controls)
    assert list(read_records(tmp_path / "controls.parquet", Question)) == controls


def test_there_is_one_true_character_f1() -> None:
    assert METRICS["char_f1"].of_item is SCORERS["character_f1"]
