"""What abstains and what does not, in four languages, and the rates."""

import pytest
from hypothesis import given

from languages import SENTENCES, natural_text, texts
from made import passage, question
from teichaku.backends.scripted import ScriptedModel
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Answer, Question
from teichaku.evaluation.abstention import (
    ABSTAINS,
    Unsaid,
    abstains,
    abstention_change,
    abstention_rates,
    by_judge,
    by_rules,
    parse_abstention,
)
from teichaku.evaluation.judging.absolute import AbsoluteJudge
from teichaku.evaluation.judging.marks import marks_by_answer

ABSTAINING = [
    "分かりません。",
    "わかりません",
    "申し訳ありませんが、分かりかねます。",
    "それについては知りません。",
    "定員については存じ上げません。",
    "定員は記載されていません。",
    "文書には定員についての記載がありません。",
    "定員に関する記述は見当たりませんでした。",
    "資料に記載がないため、お答えできません。",
    "ご提示の文書には、定員に関する情報は含まれておりません。",
    "あおば丸の定員については、文書に書かれていません。",
    "定員は明記されていないです。",
    "その情報は公表されておりません。",
    "情報が不足しているため、回答できません。",
    "正確な定員は確認できませんでした。",
    "お答えできかねます。",
    "答えることができません。",
    "不明です。",
    "定員は不明。",
    "申し訳ありません。その件は分かりません。運航会社にお問い合わせください。",
    "分かりませんが、公式サイトでご確認ください。",
    "ご質問ありがとうございます。残念ながら、定員の情報は見つかりませんでした。",
    "<think>48人かな。いや、書いていない。</think>記載されていません。",
    "I don't know.",
    "I do not know the capacity of the boat.",
    "I'm not sure.",
    "I'm sorry, but I don't have any information about that.",
    "I’m sorry, I don’t know.",
    "Sorry, I cannot answer this question.",
    "The document does not mention the capacity.",
    "The passage doesn't specify how many people it carries.",
    "The capacity is not mentioned in the text.",
    "There is no information about the capacity.",
    "This cannot be determined from the passage.",
    "Unfortunately, the text does not provide that. Please contact the operator.",
    "I don't know, but please check the website.",
    "It is unknown.",
    "Unknown",
    "There is not enough information to answer.",
    "我不知道。",
    "抱歉，我无法回答这个问题。",
    "文中没有提到定员。",
    "文档未提及该船的定员。",
    "没有找到相关信息。",
    "根據資料，無法確定定員。",
    "信息不足，无法判断。",
    "不详。",
    "ไม่ทราบ",
    "ฉันไม่รู้",
    "ขออภัย ไม่มีข้อมูลเกี่ยวกับเรื่องนี้",
    "เอกสารไม่ได้ระบุจำนวนผู้โดยสาร",
    "ไม่สามารถตอบคำถามนี้ได้",
    "ข้อมูลไม่เพียงพอ",
]
#: What models write in these cases.
FURTHER = """
その質問に対する答えは、与えられた文書の中にはありません。
文書からは判断できません。
与えられた情報だけでは、定員を特定することはできません。
この文書には旅館しらさぎの定員については触れられていません。
申し訳ございませんが、そのような情報は持ち合わせておりません。
提供された情報の中に該当する記載はありませんでした。
該当する情報がありません。
わからないです。
すみません、わかりません。
その点については明らかにされていません。
文書中に記載なし。
記載なし
情報なし
答えは文書に含まれていません。
定員に関する情報は提供されていません。
お答えすることができません。
具体的な人数は示されていません。
私にはその情報がありません。
旅館しらさぎの定員については情報がないため、お答えできません。
見つかりませんでした。
文書に書いてありません。
書かれていない。
知りません。調べてください。
I'm afraid I don't know.
I do not have access to that information.
There's no mention of a capacity in the document.
The capacity of Heron Inn is not provided in the passage.
Based on the document, it is not possible to determine the capacity.
No information is provided regarding this.
The provided text says nothing about the capacity.
Sorry, I have no information on this.
I couldn't find any information about that.
I am unable to answer that.
The answer is not in the document.
This information is not available.
Not mentioned.
The question cannot be answered from the given documents.
I don't have enough information to answer this question.
N/A
对不起，我不太了解这个问题。
文章中没有相关信息。
文本中并没有提到这一点。
很抱歉，文档中没有关于该旅馆定员的信息。
目前无法确认。
暂无相关信息。
該資料並未說明。
无法从文中得知。
ขอโทษค่ะ ฉันไม่ทราบคำตอบ
ในเอกสารไม่มีข้อมูลนี้
ไม่พบข้อมูลในเอกสาร
เอกสารไม่ได้กล่าวถึงเรื่องนี้
"""
ANSWERING = [
    "",
    "48人です。",
    "48",
    "あおば丸の定員は48人です。分からないことがあればお問い合わせください。",
    "正確には分かりませんが、48人だと思います。",
    "定員は48人です。料金については記載されていません。",
    "不明な点は係員が案内します。",
    "「知りません」という題の本です。",
    "ペットは入れません。",
    "この船には、エアコンがありません。",
    "予約のキャンセルはできません。",
    "分かりやすい説明です。",
    "知らないうちに色が変わる。",
    "情報セキュリティ研修を受ける必要があります。",
    "回答期限は3日です。",
    "記録は9.58秒です。",
    "1987年に建造されたことが記載されています。",
    "It carries 48 people.",
    "I don't know why it sank, it carries 48 people.",
    "I'm not sure, but I think it is 48.",
    "Breakfast is not included in the price.",
    "The hull is made of oak. I do not know its age.",
    "It is a well-known ferry.",
    "The Unknown Soldier",
    "No dogs are allowed on board.",
    "定员是48人。",
    "票价不包括早餐。",
    "我不确定，但应该是48人。",
    "จุคนได้ 48 คน",
    "ไม่รวมอาหารเช้า",
    "ไม่แน่ใจ แต่น่าจะ 48 คน",
    "นักเรียนไม่รู้จักเรือลำนี้",
]
FURTHER_ANSWERS = """
定員は記載の通り48人です。
2人で遊ぶことはできません。
この製品は電池を含みません。
回答は1987年です。
途中下船はできません。ご注意ください。
料金に朝食は含まれていません。
答えは「分かりません」ではなく48人です。
駐車場はありません。
営業時間は10時から18時までで、月曜は休みです。
安全が確認できないときは運航しません。
個人情報は第三者に提供されません。
データがない場合は空欄になります。
予約なしでは利用できません。
The boat has no cabin.
It does not have a restaurant.
Pets are not allowed.
It was not built in 1987 but in 1990.
The price does not include tax.
The text is written by A. Moss.
He did not know the king.
The information desk is on the first floor.
这家旅馆没有停车场。
不能带宠物。
该信息由市政府提供。
ห้ามนำสัตว์เลี้ยงขึ้นเรือ
ไม่มีที่จอดรถ
ราคาไม่รวมภาษี
"""


@pytest.mark.parametrize("text", [*ABSTAINING, *FURTHER.strip().splitlines()])
def test_it_says_that_it_does_not_know(text: str) -> None:
    assert abstains(text)


@pytest.mark.parametrize("text", [*ANSWERING, *FURTHER_ANSWERS.strip().splitlines()])
def test_it_answers(text: str) -> None:
    assert not abstains(text)


@given(natural_text)
def test_plain_statements_do_not_abstain(text: str) -> None:
    assert not abstains(text)


@given(texts)
def test_any_text_can_be_read_and_white_space_around_it_says_nothing(text: str) -> None:
    assert abstains(text) == abstains(f"  {text}\n")


def test_every_language_is_read_in_full_width_and_in_capitals() -> None:
    assert abstains("Ｉ ＤＯＮ＇Ｔ ＫＮＯＷ．")
    assert abstains("I DON'T KNOW")
    assert set(SENTENCES) == {"ja", "en", "zh", "th"}


@pytest.mark.parametrize(
    ("reply", "mark"),
    [
        ('{"explanation": "人数がない", "abstains": true}', 1.0),
        ('{"explanation": "48人と答えた", "abstains": false}', 0.0),
        ('{"abstains": true} ... {"explanation": "x", "abstains": false}', 0.0),
        ('{"abstains": "true"}', None),
        ("true", None),
        ("", None),
    ],
)
def test_the_judges_last_word_counts(reply: str, mark: float | None) -> None:
    assert parse_abstention(reply)[0] == mark


BOAT, INN = passage(), passage("部屋：12室", "旅館しらさぎ")
KNOWN = [question(f"既知{i}", "48人", BOAT if i % 2 else INN, kind="held_out") for i in range(4)]
UNKNOWN = [question(f"未知{i}", "", BOAT if i % 2 else INN, kind="unanswerable") for i in range(6)]
CONTROL = question("対照", "1", BOAT, kind="control")
QUESTIONS = {each.id: each for each in (*KNOWN, *UNKNOWN, CONTROL)}


def answer(of: Question, text: str, arm: str = "qa", error: str = "") -> Answer:
    return Answer(f"{arm}-{of.id}", of.id, arm, "epoch-1", "closed_book", text, error=error)


def test_a_second_opinion_comes_from_a_judge_as_any_mark_does() -> None:
    judge = AbsoluteJudge(
        PromptPack("ja").load("abstention_judge"), "scripted:judge", form=ABSTAINS
    )
    model = ScriptedModel(
        lambda request: (
            '{"explanation": "", "abstains": '
            + ("true}" if request.messages[-1].content.endswith("分かりません") else "false}")
        )
    )
    given = [
        answer(KNOWN[0], "48人"),
        answer(UNKNOWN[0], "分かりません"),
        answer(KNOWN[1], "", error="down"),
    ]
    found = list(judge.judge(given, QUESTIONS, {BOAT.id: BOAT, INN.id: INN}, model))
    (marks,) = marks_by_answer(found).values()
    assert by_judge(marks) == {given[0].id: False, given[1].id: True}
    assert found[0].protocol.startswith("ja/abstention_judge@1#")
    assert by_judge({"x": None}) == {"x": None}


ANSWERS = [
    answer(UNKNOWN[0], "分かりません"),
    answer(UNKNOWN[1], "記載されていません"),
    answer(UNKNOWN[2], "48人です"),
    answer(UNKNOWN[3], "60人です"),
    answer(UNKNOWN[4], ""),
    answer(UNKNOWN[5], "", error="down"),
    answer(KNOWN[0], "48人"),
    answer(KNOWN[1], "知りません"),
    answer(KNOWN[2], "50人"),
    answer(KNOWN[3], "48"),
    answer(CONTROL, "分かりません"),
]


def test_the_rates_tell_abstention_false_answers_and_over_abstention_apart() -> None:
    references = {each.id: "48人" for each in UNKNOWN}
    (rates,) = abstention_rates(ANSWERS, QUESTIONS, by_rules(ANSWERS), references)
    found = (rates.abstention, rates.false_answers, rates.from_source, rates.over_abstention)
    assert [(one.value, one.n) for one in found if one] == [(0.4, 5), (0.4, 5), (0.5, 2), (0.25, 4)]
    assert rates.unanswerable == Unsaid(empty=1, failed=1, unread=0)
    assert rates.answerable == Unsaid(empty=0, failed=0, unread=0)
    assert rates.abstention is not None
    assert rates.abstention.low is not None
    assert 0 <= rates.abstention.low < 0.4


def test_answers_that_nobody_could_read_are_in_no_rate() -> None:
    said = {**by_rules(ANSWERS), ANSWERS[0].id: None}
    (rates,) = abstention_rates(ANSWERS, QUESTIONS, said)
    assert rates.abstention is not None
    assert (rates.abstention.value, rates.abstention.n) == (0.25, 4)
    assert (rates.unanswerable.unread, rates.answerable.unread) == (1, 0)
    assert rates.from_source is None


def test_what_is_said_of_neither_is_counted_apart_for_the_two_groups() -> None:
    others = [
        answer(KNOWN[0], "", error="down"),
        answer(KNOWN[1], ""),
        answer(KNOWN[2], "50人"),
        answer(KNOWN[3], ""),
    ]
    given = [*ANSWERS[:6], *others]
    (rates,) = abstention_rates(given, QUESTIONS, {**by_rules(given), others[2].id: None})
    assert rates.unanswerable == Unsaid(empty=1, failed=1, unread=0)
    assert rates.answerable == Unsaid(empty=2, failed=1, unread=1)
    assert rates.over_abstention is not None
    assert rates.over_abstention.n == 2


def test_every_arm_and_condition_has_its_own_rates() -> None:
    others = [answer(each, "分かりません", "base") for each in (*KNOWN, *UNKNOWN)]
    found = abstention_rates([*ANSWERS, *others], QUESTIONS, by_rules([*ANSWERS, *others]))
    assert [rates.arm for rates in found] == ["base", "qa"]
    assert found[0].abstention is not None
    assert found[0].abstention.value == 1
    assert abstention_rates([], QUESTIONS, {}) == []


def test_what_training_changed_is_paired_by_question() -> None:
    before = [answer(each, "分かりません", "base") for each in (*KNOWN, *UNKNOWN)]
    said = by_rules([*before, *ANSWERS])
    change = abstention_change(before, ANSWERS, QUESTIONS, said)
    assert change.unanswerable is not None
    assert change.answerable is not None
    assert change.unanswerable.value == pytest.approx(-0.6)
    assert change.unanswerable.n == 5
    assert (change.answerable.value, change.answerable.n) == (-0.75, 4)
    nothing = abstention_change([], ANSWERS, QUESTIONS, said)
    assert (nothing.unanswerable, nothing.answerable) == (None, None)
