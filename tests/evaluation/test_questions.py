import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructions import instruction
from languages import SENTENCES
from made import example, passage, question
from teichaku.backends.scripted import ScriptedModel
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Dropped, Question
from teichaku.evaluation.questions import (
    Rewording,
    hold_out,
    told_in_text,
    trained_questions,
    unseen_questions,
    without_unseen_facts,
)
from teichaku.evaluation.wording import WordingIndex, asks, names_in

CATEGORIES = ("目的", "手段", "数量")
EXAMPLES = [
    example(
        f"事項{n}は何か？", f"答え{n}", passage(f"本文{n}", f"文書{n}"), category=CATEGORIES[n % 3]
    )
    for n in range(36)
]
TRAINED = example("遊覧船あおば丸のプレイ時間は何分ですか。", "60分")
INDEX = WordingIndex([TRAINED])
REWORDING = Rewording(PromptPack("ja").load("held_out_wording"), "ja", attempts=3)


def test_s1_keeps_ten_a_category_out_of_training() -> None:
    held = hold_out(EXAMPLES, 10, seed=0)
    counts = {c: sum(e.category == c for e in held.unseen) for c in CATEGORIES}
    assert counts == {"目的": 4, "手段": 4, "数量": 4}, "at most a third of a small set"
    held = hold_out(EXAMPLES, 2, seed=0)
    assert {c: sum(e.category == c for e in held.unseen) for c in CATEGORIES} == dict.fromkeys(
        CATEGORIES, 2
    )
    assert {e.id for e in held.unseen} | {e.id for e in held.training} == {e.id for e in EXAMPLES}
    assert not {e.id for e in held.unseen} & {e.id for e in held.training}


def test_the_draw_depends_on_the_seed_and_not_on_the_order() -> None:
    shuffled = random.Random(1).sample(EXAMPLES, len(EXAMPLES))
    assert hold_out(shuffled, 2, seed=0) == hold_out(EXAMPLES, 2, seed=0)
    assert hold_out(EXAMPLES, 2, seed=1).unseen != hold_out(EXAMPLES, 2, seed=0).unseen


def test_a_sibling_that_states_an_unseen_fact_is_dropped_from_training() -> None:
    of = passage("定員：48人。色：白。", "あおば丸")
    facts = [
        [
            example(f"あおば丸の{name}は何ですか。", answer, of),
            example(f"あおば丸の{name}を教えてください。", f"{answer}の別の言い方", of),
            example(f"あおば丸について{n}番目に書いてあること？", answer, of),
        ]
        for n, (name, answer) in enumerate([("定員", "48人"), ("色", "白")])
    ]
    for seed in range(6):
        held = hold_out([e for members in facts for e in members], 1, seed)
        (unseen,) = held.unseen
        own, other = sorted(facts, key=lambda members: unseen not in members)
        assert {e.id for e in held.training} == {e.id for e in other}
        assert {d.record_id for d in held.dropped} == {e.id for e in own} - {unseen.id}
        assert {d.reason for d in held.dropped} == {"same_fact_as_unseen"}


def test_what_is_known_to_state_an_unseen_fact_is_dropped_whatever_its_words() -> None:
    of = passage()
    pairs = [
        example("何人乗れるか。", "五十人より少し少ない", of, fact_ids=("f1",)),
        example("定員は何人か。", "48人", of, fact_ids=("f1", "f2")),
        example("船体は何か。", "檜", of, fact_ids=("f3",)),
    ]
    for seed in range(6):
        held = hold_out(pairs, 1, seed)
        (unseen,) = held.unseen
        stating = {e.id for e in pairs if set(e.fact_ids) & set(unseen.fact_ids)}
        assert {d.record_id for d in held.dropped} == stating - {unseen.id}


def test_running_text_that_states_an_unseen_fact_or_was_written_around_it_falls() -> None:
    unseen = example("定員は何人か。", "48人", fact_ids=("f1",))
    around = example("", "この船の話。", parent_ids=("x", unseen.id))
    stating = example("", "五十人近くが乗れる船。", fact_ids=("f0", "f1"))
    other = example("", "檜の船。", parent_ids=("x",), fact_ids=("f0",))
    kept, fallen = without_unseen_facts([around, stating, other], [unseen])
    assert kept == [other]
    assert [(d.record_id, d.reason) for d in fallen] == [
        (around.id, "same_fact_as_unseen"),
        (stating.id, "same_fact_as_unseen"),
    ]
    assert all(unseen.id in d.evidence for d in fallen)


def test_unseen_questions_that_a_text_of_their_passage_answers_are_counted() -> None:
    unseen = [example("定員は何人か。", "48人"), example("料金はいくらか。", "1,800円")]
    text = example("", "あおば丸には４８人が乗れる。料金は11,800円ではない。")
    elsewhere = example("", "料金は1800円。", passage("別の文", "みさき号"))
    assert told_in_text(unseen, [text, elsewhere]) == [unseen[0].id]
    assert told_in_text(unseen, []) == []


def test_a_text_about_a_whole_document_tells_and_asks_what_its_other_passages_hold() -> None:
    first, second = passage(), passage("船長：佐伯", document=passage().document_id)
    asked = "船長は誰か。"
    unseen = example(asked, "佐伯", second)
    text = example("", f"あおば丸の船長は佐伯である。質問：{asked}", first)
    assert told_in_text([unseen], [text]) == [unseen.id]
    assert WordingIndex([text]).leak(asked, second) == asked
    assert not WordingIndex([example(asked, "佐伯", first)]).leak("船長はだれか。", second)


@pytest.mark.parametrize(
    ("sentence", "is_asked"),
    [
        ("この船の定員は何人ですか。", True),
        ("この船の定員は何人だったのか。", True),
        ("船体は何の木で造られたか", True),
        ("船長は誰か。", True),
        ("学生「船は速いか」", True),
        ("質問：この船は速いか。", True),
        ("どうして檜が選ばれたのかな。", True),
        ("夜も運航していますか", True),
        ("この船は何時からか。", True),
        ("How many people does it hold?", True),
        ("这艘船能坐多少人？", True),
        ("เรือลำนี้จุคนได้กี่คน?", True),
        ("夜の港はとても静か。", False),
        ("どの港も秋は魚が豊か", False),
        ("特徴：船体の色が鮮やか。", False),
        ("残りの席はわずか。", False),
        ("いつ見ても動きがなめらか", False),
        ("檜の香りはほのか。", False),
        ("昼の食堂の名物は焼いたいか。", False),
        ("这艘船建于1987年。", False),
        ("เรือลำนี้สร้างในปี 2530", False),
        ("It tells whether it is so.", False),
    ],
)
def test_a_text_asks_where_it_ends_like_a_question_and_not_in_every_ka(
    sentence: str, is_asked: bool
) -> None:
    assert asks(sentence) == is_asked


def test_a_statement_that_ends_in_ka_is_no_wording() -> None:
    index = WordingIndex([example("", "夕方の桟橋の待合室はいつもとても静か。")])
    assert not index.leak("あおば丸の夕方の桟橋の待合室はどんな様子ですか。", passage())


def test_trained_questions_ask_each_fact_once_in_its_trained_wording() -> None:
    of = passage()
    same = [example("定員は？", "48人", of), example("何人乗れる？", "４８人", of)]
    other = example("建造は？", "1987年", of)
    found = trained_questions([*same, other], per_document=8, seed=0)
    assert len(found) == 2
    assert {q.question for q in found} <= {e.question for e in [*same, other]}
    assert len(trained_questions([*same, other], per_document=1, seed=0)) == 1


def test_what_only_some_arms_learn_is_told_apart() -> None:
    first, second = example("定員は？", "48人"), example("建造は？", "1987年")
    kinds = {q.question: q.kind for q in trained_questions([first, second], 8, 0, {first.id})}
    assert kinds == {"定員は？": "trained", "建造は？": "trained_by_some"}


def test_names_are_the_title_its_parts_and_what_is_quoted() -> None:
    of = passage("「星の航路」という遊び方がある。", "abalone/アバロン")
    assert sorted(names_in("アバロンの「星の航路」とは？", of)) == ["アバロン", "星の航路"]
    assert names_in("何枚ありますか。", of) == []


def test_the_same_wording_leaks_and_the_name_alone_does_not() -> None:
    assert INDEX.leak(TRAINED.question, passage())
    assert INDEX.leak("遊覧船あおば丸のプレイ時間は何分か教えて。", passage()) == "のプレイ時間は何"
    assert not INDEX.leak("遊覧船あおば丸で一回遊ぶとどのくらいかかる？", passage())


def test_a_wording_shorter_than_a_neighbourhood_is_compared_as_a_whole() -> None:
    index = WordingIndex([example("遊覧船あおば丸の料金はいくら？", "1,800円")])
    assert index.leak("遊覧船あおば丸、料金はいくら？", passage())
    assert not index.leak("遊覧船あおば丸に乗るには何円いる？", passage())
    of = passage("The PX-20 pump weighs 5 kg.", "PX-20 pump")
    english = WordingIndex([example("How much does the PX-20 pump weigh?", "5 kg", of)])
    assert english.leak("How much does the PX-20 pump weigh now?", of)
    assert not english.leak("Is the PX-20 pump heavy to lift, and if so how many kilos?", of)


def test_a_name_that_all_documents_share_is_no_wording() -> None:
    texts = [
        f"株式会社あおば計器の{name}は{n}日である。" for n, name in enumerate(("休暇", "研修"))
    ]
    passages = [passage(text, f"規程{n}") for n, text in enumerate(texts)]
    asked = [
        example(f"株式会社あおば計器の{name}は何日ですか。", "x", of)
        for name, of in zip(("休暇", "研修"), passages, strict=True)
    ]
    index = WordingIndex(asked)
    assert not index.leak("株式会社あおば計器で休める日数は、どれほどになる？", passages[0])
    assert index.leak("株式会社あおば計器の休暇は何日ですか。", passages[0])


def test_an_instruction_without_a_passage_counts_for_all_of_them() -> None:
    others = [instruction(f"{number}の二乗はいくつですか。") for number in range(3)]
    for same in (
        instruction("遊覧船あおば丸のプレイ時間は何分ですか。"),
        instruction("質問に答えてください。", input="遊覧船あおば丸のプレイ時間は何分ですか。"),
        instruction("次に答えて。遊覧船あおば丸の料金は？"),
    ):
        asked = "遊覧船あおば丸の料金は？" if "料金" in same.question else TRAINED.question
        assert WordingIndex([*others, same]).leak(asked, passage())
        assert not WordingIndex(others).leak(asked, passage())
    short = "遊覧船あおば丸の料金は？"
    assert WordingIndex([instruction(short)]).leak(short, passage())
    other = instruction("遊覧船みさき号の料金は？")
    assert not WordingIndex([other]).leak(short, passage("料金：1,800円", "遊覧船あおば丸"))
    text = instruction("", f"問い合わせ：{short}と聞かれた。")
    assert text.is_text
    assert WordingIndex([text]).leak(short, passage())


def test_what_running_text_asks_is_a_training_question_of_its_passage() -> None:
    of = passage("定員：48人", "あおば丸")
    held = "あおば丸の定員は何人でしょうか？"
    for text in (
        "質問：あおば丸の定員は何人ですか？\n答え：48人です。",
        "質問：あおば丸の定員は何人ですか。\n答え：48人です。",
        "船の話をした。**学生：**あおば丸の定員は何人ですか？ 先生「48人だ。」",
        "学生は「あおば丸の定員は何人なのですか？」と聞いた。",
    ):
        index = WordingIndex([example("", text, of)])
        assert index.leak(held, of), text
        assert not index.leak("あおば丸には全部でどれだけの客が乗れる？", of), text
    told = WordingIndex([example("", "あおば丸の定員は何人か、案内板に書いてある。", of)])
    assert not told.leak(held, of), "what a text only says leaks where it stands there whole"
    pump = passage("The PX-20 weighs 5 kg.", "PX-20")
    index = WordingIndex([example("", "Q: How much does the PX-20 weigh?\nA: 5 kg.", pump)])
    assert index.leak("So how much does the PX-20 weigh?", pump)
    assert not index.leak("Is the PX-20 heavy?", pump)


def test_the_words_of_an_english_title_are_no_names() -> None:
    of = passage("The History of the Harbour Act has two parts.", "The History of the Harbour Act")
    asked = "In which part of the book does the author speak of the sea?"
    assert WordingIndex([example(asked, "the first", of)]).leak(f"Tell me: {asked}", of)


def test_one_latin_name_does_not_widen_the_neighbourhood_of_a_japanese_question() -> None:
    of = passage("PX-20は水を汲み上げるポンプである。", "Waterworks International PX-20")
    asked = "Waterworks International PX-20は毎分何リットルの水を汲み上げますか。"
    assert WordingIndex([example(asked, "5", of)]).leak(f"では、{asked}", of)


def test_a_long_term_is_a_name_and_no_wording() -> None:
    of = passage("大規模言語モデルの安全性", "安全性")
    index = WordingIndex([example("大規模言語モデルは何を生成しますか。", "文章", of)])
    assert not index.leak("安全性が問われる大規模言語モデルとは？", of)


def test_english_wordings_are_compared_over_wider_neighbourhoods() -> None:
    of = passage("Harbour Lights has 36 cards.", "Harbour Lights")
    index = WordingIndex(
        [example("How many cards are there in the box of Harbour Lights?", "36", of)]
    )
    assert index.leak("Tell me how many cards are there in the box.", of)
    assert not index.leak("What is the size of the deck of Harbour Lights?", of)


@given(st.sampled_from(["ja", "zh", "th", "en"]), st.data())
def test_what_training_asks_leaks_in_every_language(language: str, data: st.DataObject) -> None:
    asked = data.draw(st.sampled_from(SENTENCES[language]))
    of = passage("".join(SENTENCES[language]), "")
    assert WordingIndex([example(asked, "x", of)]).leak(asked, of)


def test_no_neighbourhood_of_a_passed_question_is_in_the_training_text() -> None:
    """The proof, done again by brute force."""
    from teichaku.core.text import comparable

    wording = "一回あそぶのに要る時間を、遊覧船あおば丸について教えて。"
    assert INDEX.leak(wording, passage()) == ""
    text = comparable(TRAINED.question) + comparable(TRAINED.answer)
    for piece in comparable(wording).replace("遊覧船あおば丸", "\n").splitlines():
        for start in range(len(piece) - 7):
            assert piece[start : start + 8] not in text


def ask(*wordings: str) -> tuple[list[Question | Dropped], ScriptedModel]:
    """What comes of one trained question when the teacher tries these wordings in turn."""
    trained = question(TRAINED.question, TRAINED.answer)
    model = ScriptedModel(
        lambda request: json.dumps({"question": wordings[request.sample_index]}, ensure_ascii=False)
    )
    return list(REWORDING.ask([trained], {trained.passage_id: passage()}, INDEX, model)), model


def test_a_held_out_wording_keeps_the_fact_and_changes_the_words() -> None:
    (found,), _ = ask("一回あそぶのに要る時間を、遊覧船あおば丸について教えて。")
    assert isinstance(found, Question)
    assert (found.kind, found.reference) == ("held_out", "60分")
    assert found.question != TRAINED.question


def test_the_teacher_is_asked_again_with_what_to_avoid() -> None:
    (found,), model = ask(TRAINED.question, "遊覧船あおば丸で一回遊ぶとどのくらいかかる？")
    assert isinstance(found, Question)
    assert sum(model.sent.values()) == 2


def test_what_cannot_be_used_is_dropped_with_its_reason() -> None:
    cases: list[tuple[str, str]] = [
        (TRAINED.question, "wording_seen_in_training"),
        ("一回遊ぶとどのくらいかかる？", "lost_the_name"),
        ("遊覧船あおば丸は60分遊べますか。", "answer_in_question"),
        ("How long can you play it? 遊覧船あおば丸", "wrong_language"),
        ("", "unparseable_reply"),
    ]
    for wording, reason in cases:
        (found,), _ = ask(wording, wording, wording)
        assert isinstance(found, Dropped)
        if reason != "wrong_language":
            assert found.reason == reason, wording


def test_unseen_questions_keep_their_example() -> None:
    (found,) = unseen_questions([TRAINED])
    assert (found.kind, found.example_id, found.reference) == ("unseen", TRAINED.id, "60分")
