"""Data set files of llm-jp-eval are read as they stand, checked, and asked as they are asked."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from teichaku.core.errors import UserError
from teichaku.evaluation.benchmarks.data_file import (
    DataSet,
    Sample,
    few_shots,
    items,
    published_bytes,
    read_data_set,
    whole,
)
from teichaku.evaluation.benchmarks.prepared import prepare_folder
from teichaku.evaluation.benchmarks.rows import items_of

ROWS = [{"input": f"質問：{n}の次は？", "output": str(n + 1)} for n in range(8)]
SET = {
    "instruction": "次の数を答えてください。",
    "output_length": 5,
    "metrics": ["exact_match"],
    "samples": ROWS,
}


def write(folder: Path, split: str = "dev", name: str = "next", **changes: Any) -> Path:
    path = folder / split / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**SET, **changes}, ensure_ascii=False), encoding="utf-8")
    return path


def test_both_forms_of_the_file_are_read(tmp_path: Path) -> None:
    write(tmp_path)
    old = read_data_set(tmp_path, "next")
    assert (old.instruction, old.output_length, old.metrics) == (
        SET["instruction"],
        5,
        ("exact_match",),
    )
    assert old.samples[0] == Sample("質問：0の次は？", "1")
    assert (old.num_few_shots, old.label_list, old.answer_extract_pattern) == (None, (), "")
    write(
        tmp_path,
        label_list=[str(n) for n in range(1, 9)],
        answer_extract_pattern=r"答え：(\d)",
        answer_pattern_id="custom",
        num_few_shots=2,
        language="ja",
        custom_prompt_template="{{ instruction }}\n{{ input }}\n",
        another_field=1,
    )
    new = read_data_set(tmp_path, "next")
    assert new.label_list == tuple("12345678")
    assert (new.num_few_shots, new.language, new.answer_pattern_id) == (2, "ja", "custom")
    assert not new.notes


def test_a_named_pattern_that_is_not_in_the_file_is_said(tmp_path: Path) -> None:
    write(tmp_path, answer_pattern_id="3")
    (note,) = read_data_set(tmp_path, "next").notes
    assert "answer_pattern_id 3" in note


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"samples": []}, "has no samples"),
        ({"samples": [{"input": "一"}]}, "number 1 of samples has no 'input' or no 'output'"),
        ({"output_length": 0}, "output_length is missing"),
        ({"samples": 5}, "samples is 5, not a list"),
        ({"samples": {"input": "一", "output": "二"}}, "not a list"),
        ({"few_shots": 5}, "few_shots is 5, not a list"),
        (
            {"samples": [ROWS[0], {"input": "一", "output": ["二", "三"]}]},
            'number 2 of samples: its output is ["二", "三"], not a text',
        ),
        ({"samples": [{"input": {"text": "一"}, "output": "二"}]}, 'its input is {"text": "一"}'),
        ({"samples": [{"input": "一", "output": True}]}, "its output is true, not a text"),
        ({"few_shots": [{"input": "一", "output": ["二"]}]}, "number 1 of few_shots: its output"),
        ({"label_list": [["1"], "2"]}, "number 1 of label_list is"),
        ({"num_few_shots": -1}, "num_few_shots is -1, below 0"),
        ({"num_few_shots": True}, "num_few_shots is true, not a whole number"),
        ({"output_length": "5"}, 'output_length is "5", not a whole number'),
        ({"metrics": "exact_match"}, 'metrics is "exact_match", not a list'),
        ({"instruction": ["長" * 99]}, "長 ..., not a text"),
        ({"answer_extract_pattern": "("}, "no regular expression"),
        ({"answer_extract_pattern": "a"}, "has no group"),
        ({"label_list": ["1", "2"]}, "answers outside of its label_list: 3, 4"),
    ],
)
def test_a_file_that_is_not_in_the_form_is_refused(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    write(tmp_path, **changes)
    with pytest.raises(UserError, match=re.escape(said)):
        read_data_set(tmp_path, "next")


def test_what_is_no_data_set_is_refused_with_what_is_there(tmp_path: Path) -> None:
    path = write(tmp_path)
    with pytest.raises(UserError) as missing:
        read_data_set(tmp_path, "previous")
    assert missing.value.hint == "There: next."
    path.write_bytes("表".encode("cp932"))
    with pytest.raises(UserError, match="is no JSON in UTF-8"):
        read_data_set(tmp_path, "next")
    path.write_text('{"samples": ' + "[" * 100_000, encoding="utf-8")
    with pytest.raises(UserError, match="is no JSON in UTF-8"):
        read_data_set(tmp_path, "next")
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(UserError, match="has no 'samples'"):
        read_data_set(tmp_path, "next")


def test_a_set_that_may_not_ship_is_asked_for_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(UserError) as missing:
        prepare_folder(tmp_path, "chabsa")
    assert "chABSA does not ship" in missing.value.message
    assert str(tmp_path / "dev" / "chabsa.json") in missing.value.hint


def test_the_file_says_whether_it_is_the_published_one(tmp_path: Path) -> None:
    rows = [Sample(i.question.question, i.references[0]) for i in items_of("niilc", "dev")]
    path = tmp_path / "dev" / "niilc.json"
    path.parent.mkdir()
    path.write_bytes(published_bytes("niilc", rows))
    assert read_data_set(tmp_path, "niilc").identity == "match"
    path.write_bytes(published_bytes("niilc", rows[1:]))
    assert read_data_set(tmp_path, "niilc").identity == "other"
    write(tmp_path)
    assert read_data_set(tmp_path, "next").identity == "unknown"
    write(tmp_path, "test", "niilc")
    assert read_data_set(tmp_path, "niilc", "test").identity == "unknown"


def test_rows_without_an_answer_are_counted_and_asked_by_the_published_protocol_only(
    tmp_path: Path,
) -> None:
    # A null is an answer that is not there, and not the word None.
    broken = [("質問：空は？", " "), ("", "1"), ("質問：無は？", None)]
    rows = [*ROWS, *({"input": asked, "output": answer} for asked, answer in broken)]
    write(tmp_path, samples=rows, num_few_shots=0)
    of = read_data_set(tmp_path, "next")
    fallen_rows = {"empty_answer": 2, "empty_input": 1}
    assert of.samples[-1] == Sample("質問：無は？", "")
    assert of.faults == fallen_rows
    kept, fallen = whole(items(of))
    assert (len(kept), fallen) == (8, fallen_rows)
    assert len(prepare_folder(tmp_path, "next").items) == 11
    ours = prepare_folder(tmp_path, "next", seed=1)
    assert (len(ours.items), ours.fallen) == (8, fallen_rows)


def data_set(tmp_path: Path, split: str = "dev", **changes: Any) -> DataSet:
    write(tmp_path, split, **changes)
    return read_data_set(tmp_path, "next", split)  # type: ignore[arg-type]


def test_examples_are_the_first_four_of_train_or_a_draw(tmp_path: Path) -> None:
    dev, train = data_set(tmp_path), data_set(tmp_path, "train")
    assert few_shots(dev, train) == train.samples[:4]
    drawn = few_shots(dev, train, seed=3)
    assert len(set(drawn)) == 4
    assert drawn == few_shots(dev, train, seed=3)
    assert any(few_shots(dev, train, seed=n) != train.samples[:4] for n in range(3))
    two = data_set(tmp_path, num_few_shots=2)
    assert few_shots(two, train) == train.samples[:2]
    assert few_shots(data_set(tmp_path, num_few_shots=0), None) == ()
    own = data_set(tmp_path, few_shots=[{"input": "甲", "output": "乙"}], num_few_shots=1)
    assert few_shots(own, train) == (Sample("甲", "乙"),)


def test_too_few_examples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs 4 examples before a question, and there are 0"):
        few_shots(data_set(tmp_path), None)


def test_the_published_protocol_takes_the_first_items_its_own_length_and_metric(
    tmp_path: Path,
) -> None:
    write(tmp_path, metrics=["char_f1"])
    write(tmp_path, "train")
    published = prepare_folder(tmp_path, "next", count=3)
    assert [item.question.question for item in published.items] == [
        row["input"] for row in ROWS[:3]
    ]
    assert published.is_published
    assert published.asking.max_tokens == 5
    assert published.metric is not None
    assert published.metric.name == "llmjp_char_f1"
    ours = prepare_folder(tmp_path, "next", count=3, seed=0)
    assert ours.asking.max_tokens == 512
    assert ours.metric is not None
    assert ours.metric.name == "char_f1"
    assert ours.form == "number"


def test_labels_that_the_file_does_not_say_are_known_from_the_catalogue(tmp_path: Path) -> None:
    rows = [{"input": "前提：甲\n仮説：乙", "output": "neutral"}]
    write(tmp_path, name="jamp", samples=rows, num_few_shots=0)
    of = prepare_folder(tmp_path, "jamp")
    assert of.form == "choice"
    assert of.items[0].labels == ("entailment", "contradiction", "neutral")
    assert of.identity == "other"
    write(tmp_path, name="jamp", samples=[{"input": "甲", "output": "はい"}], num_few_shots=0)
    with pytest.raises(UserError, match="answers outside of its labels: はい"):
        prepare_folder(tmp_path, "jamp")


def test_a_set_whose_metric_is_not_computed_is_refused(tmp_path: Path) -> None:
    for name, listed, why in (
        ("alt-e-to-j", ["comet_wmt22", "bert_score_ja_f1"], "comet_wmt22 is not computed here"),
        ("mbpp", ["code_exec", "pylint_check"], "not run without a sandbox"),
    ):
        write(tmp_path, name=name, num_few_shots=0, metrics=listed)
        for seed in (None, 0):
            with pytest.raises(UserError, match=why):
                prepare_folder(tmp_path, name, seed=seed)


@pytest.mark.parametrize(
    ("name", "listed", "wanted", "taken"),
    [
        (
            "alt-e-to-j",
            ["bleu_ja", "bert_score_ja_f1", "comet_wmt22"],
            "comet_wmt22",
            "bleu_ja",
        ),
        ("xlsum_ja", ["rouge1", "rouge2", "rougeLsum"], "rouge1", "char_rouge2"),
        ("abstracts", ["rouge2", "exact_match"], "rouge2", "char_rouge2"),
        ("abstracts", ["bert_score_en_f1", "char_f1"], "bert_score_en_f1", "llmjp_char_f1"),
    ],
)
def test_another_metric_of_the_file_is_taken_with_a_note(
    tmp_path: Path, name: str, listed: list[str], wanted: str, taken: str
) -> None:
    write(tmp_path, name=name, num_few_shots=0, metrics=listed)
    of = prepare_folder(tmp_path, name)
    assert of.metric is not None
    assert of.metric.name == taken
    assert of.notes == (
        f"{wanted} is not computed here: {taken} marks the answers instead, "
        "outside of any published average",
    )
    write(tmp_path, name="plain", num_few_shots=0)
    assert prepare_folder(tmp_path, "plain").notes == ()
