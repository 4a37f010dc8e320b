"""Magpie's filter, with seeds of people as the measure."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructions import TOPICS, human_seeds, instruction, prompt
from languages import natural_text, texts
from teichaku.backends.scripted import ScriptedError, ScriptedModel, scripted_teacher
from teichaku.core.records import SEED, Dropped, Example, Request
from teichaku.core.text import comparable
from teichaku.curation.magpie_screen import (
    DIFFICULTIES,
    QUALITIES,
    MagpieScreen,
    Screening,
    nearest_kept,
)
from teichaku.curation.ngram_vectors import NgramVectors
from teichaku.curation.similar_pairs import Allowed

PROMPT, AGAIN = prompt("magpie_screen"), prompt("ask_again")


def made(question: str, answer: str = "まともな答えです。", **changes: Any) -> Example:
    return instruction(question, answer, **{"method": "self_instruct", **changes})


def judged(quality: str = "good", score: Any = 8, difficulty: str = "easy") -> str:
    return json.dumps(
        {"explanation": "審査した。", "difficulty": difficulty, "quality": quality, "score": score}
    )


def screen(
    examples: list[Example], reply: Callable[[Example], str] | None = None, **changes: Any
) -> tuple[list[Example], dict[str, str], dict[str, Screening]]:
    """What stays, why the others fell (by question), and what was noted (by question)."""
    reply = reply or (lambda example: judged())
    judge = ScriptedModel(lambda request: reply(request.subject.example))
    noted: list[Screening] = []
    screening = MagpieScreen(judge, PROMPT, again=AGAIN, note=noted.append, **changes)
    found = list(screening(examples))
    assert len(found) == len(examples)
    by_id = {example.id: example.question for example in examples}
    kept = [record for record in found if isinstance(record, Example)]
    fallen = {by_id[d.record_id]: d.reason for d in found if isinstance(d, Dropped)}
    assert len(noted) == sum(example.method != SEED for example in examples)
    return kept, fallen, {by_id[note.example_id]: note for note in noted}


def test_the_numbers_of_magpie() -> None:
    defaults = MagpieScreen(ScriptedModel(scripted_teacher), PROMPT)
    assert defaults.qualities == ("good", "excellent")
    assert defaults.min_distance == 0.05
    assert (len(DIFFICULTIES), len(QUALITIES)) == (5, 5)
    assert (defaults.sampling.temperature, defaults.sampling.top_p) == (0, 1)


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_prompt_explains_every_level_and_ends_with_what_is_judged(language: str) -> None:
    messages = prompt("magpie_screen", language).messages(
        references=[{"instruction": "«model»", "input": "", "output": "«its answer»"}],
        instruction="«instruction»", input="«input»", output="«output»",
    )  # fmt: skip
    text = messages[-1].content
    assert all(level in text for level in (*DIFFICULTIES, *QUALITIES))
    assert text.endswith("«output»")
    assert text.index("«its answer»") < text.index("«instruction»")


def test_good_and_excellent_instructions_with_a_score_that_is_high_enough_stay() -> None:
    marks: dict[str, tuple[str, int]] = {
        "落語の歴史を三行で述べてください。": ("good", 7),
        "次の苦情に返事を書いてください。": ("excellent", 10),
        "三角形の面積を求めてください。": ("average", 10),
        "英文を日本語に翻訳してください。": ("very poor", 9),
        "冬の夜を俳句に詠んでください。": ("excellent", 6),
    }
    kept, fallen, noted = screen([made(q) for q in marks], lambda e: judged(*marks[e.question]))
    assert {example.question for example in kept} == set(list(marks)[:2])
    assert fallen == {
        "三角形の面積を求めてください。": "low_quality",
        "英文を日本語に翻訳してください。": "low_quality",
        "冬の夜を俳句に詠んでください。": "low_score",
    }
    assert {q: (n.quality, n.score) for q, n in noted.items()} == marks
    assert all(n.difficulty == "easy" and n.explanation for n in noted.values())


def test_of_several_difficulties_the_wanted_ones_stay() -> None:
    marks = {
        "落語の歴史を三行で述べてください。": "very easy",
        "次の苦情に返事を書いてください。": "hard",
        "三角形の面積を求めてください。": "very hard",
    }
    examples = [made(question) for question in marks]
    assert len(screen(examples, lambda e: judged(difficulty=marks[e.question]))[0]) == 3
    kept, fallen, noted = screen(
        examples, lambda e: judged(difficulty=marks[e.question]), difficulties=("easy", "hard")
    )
    assert [marks[example.question] for example in kept] == ["hard"]
    assert set(fallen.values()) == {"other_difficulty"}
    assert {q: note.difficulty for q, note in noted.items()} == marks


def test_an_instruction_that_ends_in_a_colon_falls_and_so_does_an_answer() -> None:
    whole = made("次の語を英語にしてください：", input="朝顔")
    examples = [
        made("次の文章を要約してください："),
        made("Translate this sentence: "),
        made("英語にしてください。", input="湯たんぽ："),
        made("次の語を並べてください。", "順番は次のとおり："),
        made("List three rivers.", "They are: "),
        whole,
    ]
    kept, fallen, _ = screen(examples)
    assert kept == [whole]
    reasons = [fallen[example.question] for example in examples[:-1]]
    assert reasons == ["unfinished_instruction"] * 3 + ["unfinished_answer"] * 2


@pytest.mark.parametrize("score", [0, 11, None, "良い", True, [8]])
def test_a_score_that_cannot_be_read_is_null_and_drops_its_example(score: Any) -> None:
    kept, fallen, noted = screen([made("問い")], lambda e: judged(score=score))
    assert (kept, fallen) == ([], {"問い": "judge_failed"})
    assert noted["問い"].score is None
    assert noted["問い"].raw


def test_a_level_that_is_none_and_a_failed_request_drop_their_examples() -> None:
    def reply(example: Example) -> str:
        if example.question == "甲":
            raise ScriptedError("server is down")
        return judged(quality="superb")

    _, fallen, noted = screen([made("甲"), made("乙")], reply)
    assert fallen == {"甲": "request_failed", "乙": "judge_failed"}
    assert "server is down" in noted["甲"].error


def test_the_judge_is_asked_once_more_where_its_reply_cannot_be_read() -> None:
    asked: list[Request] = []

    def script(request: Request) -> str:
        asked.append(request)
        return judged() if request.attempt else "採点しました。"

    found = list(MagpieScreen(ScriptedModel(script), PROMPT, again=AGAIN)([made("問い")]))
    assert [type(record) for record in found] == [Example]
    assert len(asked) == 2


def test_of_near_duplicates_the_best_scored_stays_and_not_the_first_by_id() -> None:
    text = "次の会議の記録を読み、決まったことと、だれがいつまでに何をするかを、三行の箇条書きにまとめてください。"
    twins = [made(text + "　" * n, id=f"{n}") for n in range(3)]
    other = made("冬の夜を俳句に詠んでください。", id="9")
    kept, fallen, noted = screen([*twins, other], lambda e: judged(score={"1": 10}.get(e.id, 8)))
    assert {example.id for example in kept} == {"1", "9"}
    assert set(fallen.values()) == {"near_duplicate"}
    assert noted[twins[2].question].neighbour_id == "1"
    assert noted[twins[2].question].distance == 0
    assert noted[twins[1].question].distance is None


def test_a_low_scored_twin_does_not_take_the_place_of_a_good_one() -> None:
    twins = [made("落語の歴史を三行で述べてください。", id=name) for name in "ab"]
    kept, _, _ = screen(twins, lambda e: judged(score=2 if e.id == "a" else 9))
    assert [example.id for example in kept] == ["b"]


class Axes:
    """An embedder that knows two meanings, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts: Any) -> np.ndarray:
        self.asked += texts
        rows = [[1.0, 0.0] if "猫" in text else [0.0, 1.0] for text in texts]
        return np.array(rows, np.float32)


LONG = (
    "{}について、目的、対象となる人、守らなければならないこと、例外として認められることを、"
    "規程を読んだことのない新人にも分かるように、順を追ってやさしく説明してください。"
)


def test_instructions_about_other_numbers_or_names_are_no_duplicates() -> None:
    twelfth, thirteenth, again = (
        made(LONG.format(about), id=name)
        for name, about in (("a", "規程の第12条"), ("b", "規程の第13条"), ("c", "規程の第１３条"))
    )
    kept, fallen, noted = screen([twelfth, thirteenth, again], embedder=Axes())
    assert {example.id for example in kept} == {"a", "b"}
    assert fallen == {again.question: "near_duplicate"}
    assert noted[again.question].neighbour_id == "b"
    named = [made(LONG.format(f"{city}支店の規程"), id=city) for city in ("大阪", "東京")]
    assert len(screen(named, embedder=Axes())[0]) == 2
    wordings = [made(LONG.format(text), id=text) for text in ("この規程", "この　規程")]
    assert len(screen(wordings, embedder=Axes())[0]) == 1


def test_the_input_tells_instructions_apart() -> None:
    asked = "次の文を英語にしてください。"
    examples = [
        made(asked, input="湯たんぽを布で包む。"),
        made(asked, input="渡り鳥が湖に着いた。"),
    ]
    kept, _, _ = screen(examples)
    assert len(kept) == 2


def test_seeds_are_the_measure_and_are_not_measured() -> None:
    seeds = human_seeds()
    copy = made(seeds[0].question + "！")
    kept, fallen, _ = screen([*seeds, copy], seeds=seeds)
    assert {example.id for example in kept} == {seed.id for seed in seeds}
    assert fallen == {copy.question: "near_duplicate"}
    assert screen([copy], seeds=seeds)[1] == fallen


def test_the_judge_sees_the_nearest_seeds_whatever_else_is_screened() -> None:
    seeds = human_seeds()
    shown: dict[str, tuple[str, ...]] = {}
    contents: dict[str, str] = {}

    def script(request: Request) -> str:
        shown[request.subject.example.question] = request.subject.references
        contents[request.subject.example.question] = request.messages[-1].content
        return judged()

    about = [made("四角形の面積を求めてください。"), made("夏の朝を俳句に詠んでください。")]
    screening = MagpieScreen(ScriptedModel(script), PROMPT, seeds, references=2)
    list(screening(about))
    both = dict(contents)
    by_id = {seed.id: seed.question for seed in seeds}
    for example, nearest in zip(about, ("三角形の面積", "冬の夜を俳句"), strict=True):
        references = [by_id[i] for i in shown[example.question]]
        assert len(references) == 2
        assert nearest in references[-1]
        assert all(question in contents[example.question] for question in references)
    list(screening([about[0]]))
    assert contents[about[0].question] == both[about[0].question]


def test_an_embedder_takes_the_place_of_the_characters() -> None:
    examples = [
        made("猫の飼い方を教えてください。"),
        made("子猫に何を食べさせますか。"),
        made("犬の散歩"),
    ]
    kept, fallen, _ = screen(examples, embedder=Axes())
    assert len(kept) == 2
    assert list(fallen.values()) == ["near_duplicate"]


def test_nothing_is_embedded_twice() -> None:
    embedder, seeds = Axes(), human_seeds()
    screen([made("猫の飼い方を教えてください。"), made("犬の散歩")], embedder=embedder, seeds=seeds)
    assert len(embedder.asked) == len(set(embedder.asked)) == 2 + len(seeds)


def test_one_more_example_changes_no_distance_where_there_are_seeds() -> None:
    twins = [made(f"川の水質を調べる手順を{n}つ述べてください。", id=f"{n}") for n in (3, 4)]
    more = [made(f"水質を調べる手順の{n}番めです。", id=f"9{n}") for n in range(9)]
    alone, beside = (screen(given, seeds=human_seeds())[2] for given in (twins, [*twins, *more]))
    assert all(alone[twin.question] == beside[twin.question] for twin in twins)


def test_the_order_of_the_input_changes_nothing() -> None:
    judge = ScriptedModel(scripted_teacher)
    examples = [made(f"{n}番の駅舎の歴史を百字で述べてください。") for n in range(40)]
    screening = MagpieScreen(judge, PROMPT, human_seeds())
    straight = {
        type(r).__name__ + getattr(r, "record_id", getattr(r, "id", ""))
        for r in screening(examples)
    }
    assert straight == {
        type(r).__name__ + getattr(r, "record_id", getattr(r, "id", ""))
        for r in screening(examples[::-1])
    }


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=12),
    st.integers(0, 3),
)
def test_rows_that_stay_are_apart_and_rows_that_fall_are_near_one_that_stays(
    points: list[tuple[float, float]], always: int
) -> None:
    rows = np.array([(x + 2, y) for x, y in points], np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = nearest_kept(rows, 0.05, always)
    kept = [n for n, (d, _) in enumerate(found) if n < always or d is None or d >= 0.05]
    for number, (distance, place) in enumerate(found):
        before = [k for k in kept if k < number]
        if not before:
            assert (distance, place) == (None, -1)
            continue
        least = min(1 - float(rows[number] @ rows[k]) for k in before)
        assert distance == pytest.approx(least, abs=2e-6)
        assert place in before


def test_rows_that_may_not_be_duplicates_pass_each_other_by() -> None:
    kinds = np.array([0, 1, 0, 1, 0])
    rows = np.array([[1, 0], [1, 0], [1, 0], [1, 0.001], [0, 1]], np.float32)
    allowed = Allowed(lambda worse, better: kinds[worse] == kinds[better])
    assert nearest_kept(rows, 0.05, allowed=allowed) == [
        (None, -1),
        (None, -1),
        (0.0, 0),
        (pytest.approx(0, abs=2e-6), 1),
        (1.0, 0),
    ]


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = NgramVectors([]).embed([f"{n % 17}番の駅舎の歴史を述べてください。" for n in range(60)])
    whole = nearest_kept(rows, 0.05)
    monkeypatch.setattr("teichaku.curation.magpie_screen._BLOCK", 7)
    monkeypatch.setattr("teichaku.curation.magpie_screen._COLUMNS", 5)
    assert nearest_kept(rows, 0.05) == whole
    vectors = NgramVectors(TOPICS).embed(TOPICS)
    monkeypatch.setattr("teichaku.curation.ngram_vectors._BLOCK", 3)
    assert np.array_equal(NgramVectors(TOPICS).embed(TOPICS), vectors)


@settings(deadline=None)
@given(texts, natural_text)
def test_vectors_are_of_unit_length_and_a_text_is_nearest_to_itself(text: str, other: str) -> None:
    vectors = NgramVectors([text, other]).embed([text, other])
    lengths = np.linalg.norm(vectors, axis=1)
    for value, length in zip((text, other), lengths, strict=True):
        assert length == pytest.approx(1 if comparable(value) else 0, abs=1e-5)
    assert float(vectors[0] @ vectors[1]) <= 1 + 1e-5


@pytest.mark.parametrize(
    ("text", "near", "far"),
    [
        (
            "川の水質を調べる手順を述べてください。",
            "川の水質を調べる手順を述べなさい。",
            "合唱の練習の計画を立ててください。",
        ),
        (
            "Describe how to test river water.",
            "Describe how to test the river water.",
            "Plan a choir rehearsal.",
        ),
        ("请说明检测河水水质的步骤。", "请说明检测河水水质的方法。", "请制定合唱练习计划。"),
        ("อธิบายวิธีตรวจคุณภาพน้ำ", "อธิบายวิธีการตรวจคุณภาพน้ำ", "วางแผนซ้อมร้องเพลง"),
    ],
)
def test_nearness_holds_without_spaces_between_words(text: str, near: str, far: str) -> None:
    one, other, apart = NgramVectors([text, near, far]).embed([text, near, far])
    assert float(one @ other) > 0.5 > 0.3 > float(one @ apart)
