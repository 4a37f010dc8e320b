"""Each reason has an input that triggers just it; what is right passes."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages import texts
from made import BOAT, example, passage
from teichaku.backends.scripted import ScriptedError, ScriptedModel
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Dropped, Example, Request
from teichaku.core.support import support
from teichaku.curation.chain import Filter, by_rule, curate
from teichaku.curation.duplicates import drop_duplicates
from teichaku.curation.grounded import Grounded, GroundingJudge
from teichaku.curation.rules.pairs import copied_question, question_is_answer, wrong_language
from teichaku.curation.self_contained import SelfContained

PASSAGES = {p.id: p for p in (passage(), passage("名称：小舟\n定員：5人\n料金：300円", "小舟"))}
CONTAINED = SelfContained(PASSAGES, "ja")
GROUNDED = Grounded(PASSAGES)


def reason(filters: list[Filter], *examples: Example) -> list[str]:
    found = curate(examples, filters)
    return [record.reason if isinstance(record, Dropped) else "" for record in found]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("48人", ""),
        ("４８人です", ""),
        ("1800円", ""),
        ("檜", ""),
        ("船体は檜でできています", ""),
        ("84人", "not_grounded"),
        ("8人", "not_grounded"),
        ("1987年に横浜で建造された", "not_grounded"),
        ("杉", "not_grounded"),
    ],
)
def test_grounded_by_containment(answer: str, expected: str) -> None:
    assert reason([GROUNDED], example("遊覧船あおば丸について？", answer)) == [expected]


def test_missing_numbers_and_terms_are_named() -> None:
    found = support("定員は50人、機関はディーゼル", BOAT)
    assert found.missing_numbers == ("50",)
    assert "ディーゼル" in found.missing_terms


@given(texts)
def test_a_passage_supports_all_that_is_cut_from_it(value: str) -> None:
    found = support(value, f"はじめ。{value}おわり。")
    assert found.missing_numbers == ()


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        ('{"explanation": "言い換え", "supported": true}', ""),
        ('{"explanation": "木材が違う", "supported": false}', "not_grounded"),
        ("はい", "judge_failed"),
        (None, "request_failed"),
    ],
)
def test_the_judge_decides_what_containment_cannot(verdict: str | None, expected: str) -> None:
    def script(request: Request) -> str:
        if verdict is None:
            raise ScriptedError("down")
        return verdict

    judge = ScriptedModel(script)
    judged = Grounded(PASSAGES, 0.8, GroundingJudge(judge, PromptPack("ja").load("grounded_judge")))
    doubtful = example("遊覧船あおば丸は何でできている？", "木造")
    assert reason([judged], doubtful) == [expected]
    assert sum(judge.sent.values()) == 1
    assert reason([judged], example("遊覧船あおば丸の定員は？", "84人")) == ["not_grounded"]
    assert sum(judge.sent.values()) == 1, "a wrong number needs no judge"


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("遊覧船あおば丸の定員は？", ""),
        ("あおば丸の定員は？ この船の名は遊覧船あおば丸。", ""),
        ("遊覧船あおばの定員は？", ""),
        ("この船の定員は何人ですか。", "not_self_contained"),
        ("本製品の料金はいくらですか。", "not_self_contained"),
        ("定員は何人ですか。", "not_self_contained"),
        ("それはいつ建造されましたか。", "not_self_contained"),
    ],
)
def test_the_question_names_what_it_asks_about(question: str, expected: str) -> None:
    assert reason([CONTAINED], example(question, "48人")) == [expected]


def test_this_game_falls_in_english_too() -> None:
    deck = passage("Harbour Lights is a deck of 36 cards.", "Harbour Lights")
    other = passage("Night Ferry is a deck of 52 cards.", "Night Ferry")
    contained = SelfContained({deck.id: deck, other.id: other}, "en")
    for asked, expected in [
        ("How many cards are in this game?", "not_self_contained"),
        ("How many cards does it have?", "not_self_contained"),
        ("How many cards are in Harbour Lights?", ""),
    ]:
        assert reason([contained], example(asked, "36", deck)) == [expected]


def test_an_abstract_is_named_by_a_term_of_its_own() -> None:
    first = passage("音象徴が性格特性の想起に与える影響を調べた。", "人名の音象徴")
    second = passage("形態素解析用辞書を関西方言に拡張した。", "方言の辞書")
    contained = SelfContained({first.id: first, second.id: second}, "ja")
    assert reason([contained], example("性格特性の想起に何が影響しますか。", "音象徴", first)) == [
        ""
    ]
    assert reason([contained], example("何を調べましたか。", "音象徴", first)) == [
        "not_self_contained"
    ]


def test_trivial_variants_are_duplicates_and_name_the_longest_which_stays() -> None:
    first = example("あおば丸の定員は？", "48人", id="1")
    second = example("あおば丸の定員は何ですか。", "４８人", id="2")
    third = example("あおば丸の料金は？", "1,800円", id="3")
    found = list(drop_duplicates([second, third, first]))
    assert [r.record_id if isinstance(r, Dropped) else r.id for r in found] == ["1", "2", "3"]
    fallen = [record for record in found if isinstance(record, Dropped)]
    assert [(d.record_id, d.reason) for d in fallen] == [("1", "duplicate")]
    said = "2 stays, similarity 1.00: あおば丸の定員は何ですか。 / ４８人"
    assert fallen[0].evidence == said


def test_one_question_with_two_answers_keeps_one() -> None:
    pair = [
        example("あおば丸の料金は", "300円", id="1"),
        example("あおば丸の料金は？", "1,800円", id="2"),
    ]
    assert reason([drop_duplicates], *pair) == ["duplicate_question", ""]
    (told,) = (r.evidence for r in drop_duplicates(pair) if isinstance(r, Dropped))
    assert told == "2 stays, the same question: あおば丸の料金は？ / 1,800円"


@given(st.lists(st.sampled_from([None, 0.0, 1.5, 4.0]), min_size=2, max_size=6), st.randoms())
def test_of_the_same_examples_the_best_scored_stays_and_of_equals_the_first(
    scores: list[float | None], random: Random
) -> None:
    rows = [example("定員は？", "48人", id=str(n)) for n in range(len(scores))]
    random.shuffle(rows)
    found = list(drop_duplicates(rows, lambda row: scores[int(row.id)]))
    best = max((score for score in scores if score is not None), default=None)
    (kept,) = (record.id for record in found if isinstance(record, Example))
    assert int(kept) == scores.index(best)
    fallen = [record for record in found if isinstance(record, Dropped)]
    assert len(fallen) == len(rows) - 1
    assert all(record.evidence.startswith(f"{kept} stays,") for record in fallen)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("気温が-5度の日の運航は？", "気温が5度の日の運航は？"),
        ("時刻表の○の日の運航は？", "時刻表の×の日の運航は？"),
        ("水位が↑の時の運航は？", "水位が↓の時の運航は？"),
        ("Does it sail where x < 5?", "Does it sail where x > 5?"),
    ],
)
def test_another_sign_or_symbol_is_another_question(one: str, other: str) -> None:
    asked = [example(one, "あり", id="1"), example(other, "なし", id="2")]
    assert reason([drop_duplicates], *asked) == ["", ""]


@given(st.permutations([example(f"問{n % 3}の定員は？", f"{n}人", id=str(n)) for n in range(6)]))
def test_who_stays_does_not_depend_on_the_order(examples: list[Example]) -> None:
    kept = {e.id for e in drop_duplicates(examples) if isinstance(e, Example)}
    assert kept == {
        e.id
        for e in drop_duplicates(sorted(examples, key=lambda e: e.id))
        if isinstance(e, Example)
    }


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("第12条の割引は？", "第13条の割引は？"),
        ("がくせい割引は第12条ですか。", "かくせい割引は第13条ですか。"),
        ("がくせい割引はいくらですか。", "かくせい割引はいくらですか。"),
    ],
)
def test_clause_12_is_not_clause_13_and_dakuten_count(one: str, other: str) -> None:
    asked = [example(one, "2割", id="1"), example(other, "2割", id="2")]
    assert reason([drop_duplicates], *asked) == ["", ""]


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        ("How many people?", "48人", "wrong_language"),
        ("How many people may board 遊覧船あおば丸?", "48人", "wrong_language"),
        ("有多少人可以乘坐？这艘船的名字是什么？", "48人", "wrong_language"),
        ("定員は何人？", "48", ""),
    ],
)
def test_the_question_is_in_the_language(question: str, answer: str, expected: str) -> None:
    assert reason([by_rule(wrong_language("ja", PASSAGES))], example(question, answer)) == [
        expected
    ]


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        ("あおば丸", "あおば丸。", "question_is_answer"),
        ("定員48人の船の定員は？", "48人", "answer_in_question"),
        ("定員は？", "……", "empty_answer"),
        ("定員は？", "48人", ""),
    ],
)
def test_the_answer_is_not_in_the_question(question: str, answer: str, expected: str) -> None:
    assert reason([by_rule(question_is_answer)], example(question, answer)) == [expected]


LONG = "遊覧船あおば丸は、湖の南岸を一周しながら、季節の花と古い水門を船上から案内する、毎朝一回の定期便である。"


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (f"{LONG}それはなぜですか。", "copied_question"),
        ("遊覧船あおば丸は、どこを一周しながら何を案内しますか。", ""),
        ("定期便である遊覧船の案内は？", ""),
    ],
)
def test_the_question_is_no_copy_of_the_passage(question: str, expected: str) -> None:
    source = passage(LONG)
    rule = by_rule(copied_question({source.id: source}))
    made = example(question, "48人", source)
    assert reason([rule], made) == [expected]


@pytest.mark.parametrize(
    ("language", "title", "text", "question", "expected"),
    [
        (
            "en",
            "The Effects of Sleep on Memory",
            "Sleep helps.",
            "What is the aim of this study?",
            1,
        ),
        ("zh", "青叶丸", "青叶丸是一艘遊覧船。票价为一千八百元。", "青叶丸的票价是多少？", 0),
        ("zh", "航线说明", "翠湖游览船每天发船三次。", "翠湖游览船每天发船几次？", 0),
        ("zh", "航线说明", "翠湖游览船每天发船三次。", "票价是多少？", 1),
        ("th", "เที่ยวเรือ", "เรือเขียวทะเลสาบออกวันละสามเที่ยว", "เรือเขียวทะเลสาบออกกี่โมง", 0),
        ("ja", "社史", "大阪水都社は1987年に創業した。", "大阪水都社はどこの会社ですか。", 0),
    ],
)
def test_a_question_names_its_subject_in_every_language(
    language: str, title: str, text: str, question: str, expected: int
) -> None:
    source, other = passage(text, title), passage("別の文書", "別")
    contained = SelfContained({source.id: source, other.id: other}, language)
    found = reason([contained], example(question, "x", source))
    assert found == ["not_self_contained" if expected else ""]


def test_a_long_title_in_the_question_is_no_copy() -> None:
    title = "湖の南岸を一周しながら季節の花と古い水門を船上から案内する遊覧船の定期便について"
    source = passage(f"{title}。定員は48人。", title)
    rule = by_rule(copied_question({source.id: source}))
    made = example(f"{title}、定員は何人ですか。", "48人", source)
    assert reason([rule], made) == [""]


@given(st.lists(st.tuples(texts, texts), max_size=8))
def test_nothing_vanishes(pairs: list[tuple[str, str]]) -> None:
    examples = [example(q, a, id=str(n)) for n, (q, a) in enumerate(pairs)]
    filters: list[Filter] = [
        by_rule(wrong_language("ja", PASSAGES)),
        by_rule(question_is_answer),
        CONTAINED,
        GROUNDED,
        drop_duplicates,
    ]
    found = list(curate(examples, filters))
    names = [r.record_id if isinstance(r, Dropped) else r.id for r in found]
    assert sorted(names) == sorted(e.id for e in examples)
    assert all(r.evidence or r.reason for r in found if isinstance(r, Dropped))
