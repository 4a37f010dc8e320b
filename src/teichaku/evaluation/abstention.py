"""Does an answer say that it is not known? By rules, and by a judge as a second opinion.

The rules know what is said in Japanese, English, Chinese and Thai, whatever the language of the
question. An answer abstains where its first sentence that is more than a preface does. What goes
on to answer all the same (分かりませんが、48人でしょう) is an answer; a reference to somebody who
may know is not. What a text quotes does not count. Guesses in later sentences the rules do not
see, and a document that itself says 不明 they take for an abstention: look at how the judge
agrees (:func:`~teichaku.core.agreement.cohens_kappa`).
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from teichaku.core.asking import UnusableReplyError
from teichaku.core.records import Answer, Question
from teichaku.core.replies import json_objects, text_value, without_thinking
from teichaku.core.statistics import Interval, clustered_mean, paired_difference
from teichaku.core.text import comparable, contains, marks, normalise, sentences
from teichaku.evaluation.judging.forms import Form

#: Changes whenever the rules read anything differently.
RULES = "abstention-rules@1"

_NOT_JA = r"(?:ません|ない(?!よう|場合|とき|時|こと|もの|ため|限り|で(?!す)|か)|[ずぬ](?=[、。]|$))"
_TOLD_JA = "記載|記述|言及|明記|掲載|記録|説明|明示|開示|公表"
_ABSTAINS: dict[str, str] = {
    "ja": "|".join(
        [
            r"(?:分か|わか|判|解)(?:り(?:ません|かね)|らない(?=です|[。、]|$|と))",
            r"(?:知り|存じ|存じ上げ)ません|知らない(?=です|[。、]|$)",
            rf"(?:{_TOLD_JA})(?:が|は|も|さ|し)*(?:れて|て)?(?:い|おり|あり|ござい|なされて)?{_NOT_JA}",
            rf"(?:{_TOLD_JA})(?:が|は|も)?(?:見当たり|見つかり|見つけられ|確認でき){_NOT_JA}",
            rf"(?:情報|データ|資料|答え|回答|手がかり)(?:が|は|も|を)?[^。、]{{0,8}}"
            rf"(?:あり|ござい|見当たり|見つかり|見つけられ|含まれて(?:い|おり)|持って(?:い|おり)){_NOT_JA}",
            rf"(?:情報|データ|資料|記載|記述|言及)(?:が|は|も)(?:不足|足り{_NOT_JA}|ない(?=です|[。、]|$))",
            rf"(?:答え|回答|情報)(?:が|は|も)[^。]{{0,20}}(?:に|には|にも)"
            rf"(?:あり|見当たり|見つかり|含まれて(?:い|おり)){_NOT_JA}",
            rf"情報(?:が|は|も)[^。]{{0,8}}提供されて(?:い|おり){_NOT_JA}|持ち合わせて(?:い|おり){_NOT_JA}",
            rf"(?:書かれて|述べられて|触れられて|載って|示されて|明らかにされて)(?:い|おり){_NOT_JA}",
            rf"書いて(?:い|あり){_NOT_JA}|(?:^|、)見つかり{_NOT_JA}",
            r"(?:記載|記述|言及|情報|データ)(?:は|が)?(?:なし|無し)(?=[。、]|$)",
            rf"(?:お?答える?|回答|返答|特定|断定|判断|判別|確認)(?:を?する)?(?:こと)?(?:は|が|も)?"
            rf"(?:(?:でき|出来)(?:{_NOT_JA}|かね)|(?:いた)?しかね)",
            rf"答え(?:られ{_NOT_JA}|かね)|(?:^|は|が|も|、)不明(?:です|である|だ)?(?=。|$)",
        ]
    ),
    "en": "|".join(
        [
            r"\bi (?:do not|don't|dont) (?:really |actually )?know\b(?! why)",
            r"\bi (?:do not|don't|dont|cannot|can't) (?:have|find|see) (?:\w+ ){0,4}"
            r"(?:information|knowledge|details?|data|answer|mention)\b",
            r"\bi have no (?:idea|information|knowledge|data|record)\b",
            r"\bi(?:'m| am) (?:not (?:sure|aware|certain|able|familiar)|unable|unaware|unsure)\b",
            r"\bi (?:cannot|can't|can not|could not|couldn't) (?:answer|determine|find|say|tell|"
            r"provide|confirm|verify|identify)\b",
            r"\b(?:cannot|can't|can not|could not) be (?:answered|determined|found|known|"
            r"confirmed)\b",
            r"\b(?:documents?|passages?|texts?|context|sources?|articles?|information)\b.{0,40}?"
            r"\b(?:do|does|did|is|are|was|were)(?:n't| not) (?:\w+ ){0,2}?(?:mention|state|specif|"
            r"say|provid|giv|includ|describ|contain|tell|indicat|availabl|found|listed|known|"
            r"disclos|answer)",
            r"\bno (?:information|mention|details?|record|answer|data)\b.{0,40}?(?:\babout\b|"
            r"\bon\b|\bof\b|\bregarding\b|\bavailable\b|\bfound\b|\bgiven\b|\bprovided\b|[.!]|$)",
            r"\bnot (?:explicitly |specifically )?(?:mentioned|stated|specified)\b",
            r"\bnot (?:\w+ )?(?:in|by) (?:the|this|any|these) (?:\w+ )?(?:documents?|passages?|"
            r"texts?|context|sources?|articles?)\b|\bsays? nothing (?:about|on)\b",
            r"\bnot possible to (?:answer|determine|know|say|tell)\b|^n/a[.!]?$",
            r"\b(?:not enough|insufficient) (?:information|context|data)\b",
            r"\bit is (?:unknown|unclear|not known|not clear)\b|^unknown[.!]?$",
        ]
    ),
    "zh": "|".join(
        [
            r"不(?:太|是很|怎么|怎麼)?(?:知道|清楚|了解|瞭解|确定|確定)",
            r"(?:没有|沒有|暂无|暫無)(?:关于|關於|有关|有關)?[^。]{0,20}(?:信息|資訊|资料|資料|记载|記載)",
            r"(?:无法|無法|不能)(?:从[^。]{0,8}中|從[^。]{0,8}中)?(?:回答|确定|確定|得知|判断|判斷|确认|確認|找到|获知)",
            r"(?:没有|沒有|并未|並未|未)(?:明确|明確|具体|具體)?(?:提到|提及|说明|說明|记载|記載|注明|指出|写明)",
            r"(?:没有|沒有|未|缺乏)(?:找到|提供|任何|相关|相關|有关|有關|足够|足夠|的)*"
            r"(?:信息|資訊|资料|資料|内容|答案|记录|記錄)",
            r"(?:信息|資訊|资料|資料)(?:不足|不够|不夠)|(?:不详|不詳)(?=[。.]|$)",
        ]
    ),
    "th": "|".join(
        [
            r"(?:ฉัน|ผม|ดิฉัน|เรา)?(?:ไม่ทราบ|ไม่รู้(?!จัก|สึก)|ไม่แน่ใจ)",
            r"ไม่(?:มี|พบ|ปรากฏ)(?:ข้อมูล|คำตอบ|รายละเอียด|การกล่าวถึง)",
            r"ไม่(?:ได้)?(?:ระบุ|กล่าวถึง|บอกไว้|กล่าวไว้)",
            r"ไม่สามารถ(?:ตอบ|ระบุ|ยืนยัน|บอก|หาคำตอบ|ให้ข้อมูล)",
            r"ข้อมูลไม่(?:เพียงพอ|พอ)",
        ]
    ),
}
_ABSTAINING = re.compile(
    unicodedata.normalize("NFKC", "|".join(f"(?:{each})" for each in _ABSTAINS.values()))
)
#: Says that the sentence goes on otherwise.
_BUT = re.compile(
    r"(?:が|けれども?|けど|ものの|しかし)[、,]|[,;、，]?\s*(?:\bbut\b|\bhowever\b|但是?|不过|不過|แต่)"
)
_REFERRAL = re.compile(
    unicodedata.normalize(
        "NFKC",
        r"ください|下さい|お問い合わせ|ご覧|ご確認|\bplease\b|\bcontact\b|\bcheck\b|\brefer\b|"
        r"\bif you\b|\bconsult\b|请|請|咨询|諮詢|建议|建議|กรุณา|โปรด|ติดต่อ|แนะนำ",
    )
)
#: Begins an answer without giving it.
_PREFACE = re.compile(
    unicodedata.normalize(
        "NFKC",
        r"申し訳|すみません|すいません|恐れ入り|残念|ご質問|質問|文書|資料|本文|\bsorry\b|\bapolog|"
        r"\bunfortunately\b|\bthank\b|\bquestion\b|\bdocuments?\b|\bpassages?\b|\btext\b|抱歉|对不起|"
        r"對不起|遗憾|遺憾|问题|問題|文档|文件|资料|ขออภัย|ขอโทษ|เสียดาย|คำถาม|เอกสาร|[?？]\s*$",
    )
)
_QUOTED = re.compile(r"「[^「」]*」|『[^『』]*』|“[^“”]*”|\"[^\"]*\"|《[^《》]*》")
#: So many letters behind a "but" may be an answer.
_LEAST_ANSWER = 2


def abstains(text: str) -> bool:
    """Whether an answer says that it is not known, or that the documents do not tell; by rules.

    An empty answer says nothing, so it does not abstain.
    """
    bare = _QUOTED.sub("〇", without_thinking(text))
    for sentence in sentences(bare):
        said = normalise(sentence).replace("’", "'")
        found = _ABSTAINING.search(said)
        if found:
            return not _answers_all_the_same(said[found.end() :])
        if comparable(said) and not _PREFACE.search(said):
            return False
    return False


def _answers_all_the_same(rest: str) -> bool:
    turn = _BUT.search(rest)
    if turn is None:
        return False
    after = rest[turn.end() :]
    is_more = len(comparable(after)) >= _LEAST_ANSWER
    return is_more and not _REFERRAL.search(after) and not _ABSTAINING.search(after)


def parse_abstention(text: str) -> tuple[float | None, str]:
    """1 where a judge says that an answer abstains, 0 where not, with its explanation."""
    for found in reversed(list(json_objects(text))):
        if isinstance(found.get("abstains"), bool):
            return float(found["abstains"]), text_value(found.get("explanation"))
    return None, ""


def _missing() -> UnusableReplyError:
    return UnusableReplyError("no true or false for 'abstains' in the reply.")


#: For :class:`~teichaku.evaluation.judging.absolute.AbsoluteJudge` with the prompt
#: ``abstention_judge``: its marks are 1 (abstains) and 0.
ABSTAINS: Form[float] = Form(
    "json-abstains@1",
    parse_abstention,
    _missing,
    {
        "type": "object",
        "properties": {
            "explanation": {"type": "string", "maxLength": 160},
            "abstains": {"type": "boolean"},
        },
        "required": ["explanation", "abstains"],
    },
)


@dataclass(frozen=True, slots=True)
class Unsaid:
    """Answers that say neither: ``empty`` ones, those that ``failed``, and ``unread`` ones of
    which nobody could say. Only the first count in the rates, among all answers.
    """

    empty: int
    failed: int
    unread: int


@dataclass(frozen=True, slots=True)
class AbstentionRates:
    """How an arm deals with what it cannot know, and with what it can.

    Of the answers to unanswerable questions ``abstention`` is the share that say so,
    ``false_answers`` the share that answer, and of those ``from_source`` the share whose answer is
    that of the question before its name was swapped: the model did not look at the name. The rest
    is empty. ``over_abstention`` is the share of abstentions among answers to all other questions.
    Intervals are over documents. ``unanswerable`` and ``answerable`` count what is said of
    neither, for the two groups of questions.
    """

    arm: str
    checkpoint: str
    condition: str
    abstention: Interval | None
    false_answers: Interval | None
    from_source: Interval | None
    over_abstention: Interval | None
    unanswerable: Unsaid
    answerable: Unsaid


def by_rules(answers: Iterable[Answer]) -> dict[str, bool | None]:
    """:func:`abstains` by answer id; null for answers that failed."""
    return {answer.id: None if answer.error else abstains(answer.text) for answer in answers}


def by_judge(marks: Mapping[str, float | None]) -> dict[str, bool | None]:
    """The same from a judge's marks by answer id (the form :data:`ABSTAINS`)."""
    return {name: None if mark is None else mark >= 0.5 for name, mark in marks.items()}


def abstention_rates(
    answers: Iterable[Answer],
    questions: Mapping[str, Question],
    abstained: Mapping[str, bool | None],
    references: Mapping[str, str] | None = None,
) -> list[AbstentionRates]:
    """The rates of every arm, checkpoint and condition among ``answers``, in their order.

    ``abstained`` says so by answer id; ``references`` are the right answers to the questions that
    unanswerable ones came from, by the id of the latter. Controls are left out.
    """
    groups: dict[tuple[str, str, str], list[Answer]] = defaultdict(list)
    for answer in answers:
        if questions[answer.question_id].kind != "control":
            groups[answer.arm, answer.checkpoint, answer.condition].append(answer)
    return [
        _rates(key, groups[key], questions, abstained, references or {}) for key in sorted(groups)
    ]


def _rates(
    key: tuple[str, str, str],
    answers: Sequence[Answer],
    questions: Mapping[str, Question],
    abstained: Mapping[str, bool | None],
    references: Mapping[str, str],
) -> AbstentionRates:
    unknowable: list[tuple[float, float, str]] = []
    knowable: list[tuple[float, str]] = []
    taken: list[tuple[float, str]] = []
    for answer in answers:
        question, said = questions[answer.question_id], abstained.get(answer.id)
        if answer.error or said is None:
            continue
        cluster = question.document_id or question.id
        if question.kind != "unanswerable":
            knowable.append((float(said), cluster))
            continue
        is_false = not said and not _is_empty(answer)
        unknowable.append((float(said), float(is_false), cluster))
        if is_false and references.get(question.id):
            taken.append((float(contains(answer.text, references[question.id])), cluster))
    clusters = [cluster for *_, cluster in unknowable]
    return AbstentionRates(
        *key,
        abstention=_share([said for said, _, _ in unknowable], clusters),
        false_answers=_share([is_false for _, is_false, _ in unknowable], clusters),
        from_source=_share([v for v, _ in taken], [cluster for _, cluster in taken]),
        over_abstention=_share([v for v, _ in knowable], [cluster for _, cluster in knowable]),
        unanswerable=_unsaid(answers, questions, abstained, is_unanswerable=True),
        answerable=_unsaid(answers, questions, abstained, is_unanswerable=False),
    )


def _unsaid(
    answers: Iterable[Answer],
    questions: Mapping[str, Question],
    abstained: Mapping[str, bool | None],
    *,
    is_unanswerable: bool,
) -> Unsaid:
    own = [
        answer
        for answer in answers
        if (questions[answer.question_id].kind == "unanswerable") == is_unanswerable
    ]
    whole = [answer for answer in own if not answer.error]
    read = [answer for answer in whole if abstained.get(answer.id) is not None]
    return Unsaid(sum(map(_is_empty, read)), len(own) - len(whole), len(whole) - len(read))


def _is_empty(answer: Answer) -> bool:
    return not comparable(answer.text) and not marks(answer.text)


@dataclass(frozen=True, slots=True)
class AbstentionChange:
    """What training changed, on the questions that both answered: positive is more abstention."""

    unanswerable: Interval | None
    answerable: Interval | None


def abstention_change(
    before: Iterable[Answer],
    after: Iterable[Answer],
    questions: Mapping[str, Question],
    abstained: Mapping[str, bool | None],
) -> AbstentionChange:
    """The paired change of the shares of abstentions from one arm's answers to another's."""
    old = {answer.question_id: abstained.get(answer.id) for answer in before}
    pairs: dict[bool, list[tuple[float, float, str]]] = {True: [], False: []}
    for answer in sorted(after, key=lambda answer: answer.question_id):
        question = questions[answer.question_id]
        was, now = old.get(question.id), abstained.get(answer.id)
        if question.kind != "control" and was is not None and now is not None:
            cluster = question.document_id or question.id
            pairs[question.kind == "unanswerable"].append((float(was), float(now), cluster))
    return AbstentionChange(_change(pairs[True]), _change(pairs[False]))


def _change(pairs: Sequence[tuple[float, float, str]]) -> Interval | None:
    was, now, clusters = zip(*pairs, strict=True) if pairs else ((), (), ())
    return paired_difference(was, now, clusters, (0.0, 1.0))


def _share(values: Sequence[float], clusters: Sequence[str]) -> Interval | None:
    return clustered_mean(values, clusters, (0.0, 1.0))
