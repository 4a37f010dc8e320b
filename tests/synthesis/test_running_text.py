"""What of a reply is the text, and what is said to the one who asked."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages import SENTENCES, sentence, texts
from made import passage, reply
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Message, Reply, Request, Sampling
from teichaku.core.text import comparable
from teichaku.synthesis.method import Subject, UnusableReplyError
from teichaku.synthesis.paraphrase import Paraphrase
from teichaku.synthesis.running_text import (
    copied_share,
    rewritten_text,
    running_text,
    whole_sentences,
    word_count,
)

ABOUT = Subject(passage(), Paraphrase({"easy": PromptPack("ja").load("paraphrase_easy")}, "ja"))
TEXT = "遊覧船あおば丸は、檜で造られた船です。\n1987年に生まれ、48人まで乗れます。"
TERMS = passage(
    "会員証は港の事務所で受け取る。他人には貸せない。規約に反した会員は退会とする。", "会員の規約"
)
FERRY = passage(
    "Ferry Larkspur was built in 1987. Her hull is oak, and she carries 48 people. A member books "
    "a seat at the harbour office.",
    "Ferry Larkspur",
)


def read(text: str, **changes: str) -> str:
    return running_text(reply(text, ABOUT, **changes))


@pytest.mark.parametrize(
    "framed",
    [
        f"はい、承知しました。以下は、遊覧船あおば丸の文書を書き直した文章です。\n\n{TEXT}",
        f"以下に、書き直した文章を示します：\n{TEXT}\n\n以上です。",
        f"Sure! Here is the rewritten text:\n\n{TEXT}\n\nLet me know if you need anything else.",
        f"好的，\n以下是改写后的文章：\n{TEXT}",
        f"```\n{TEXT}\n```",
        f"以下が書き直した文章です。\n```markdown\n{TEXT}\n```\n",
        f"{TEXT}\n\nこのマインドマップは、あおば丸のあらましを示しています。",
        f"{TEXT}\n\nこの文書は、遊覧船あおば丸についての情報を提供しています。",
        f"<think>子ども向けに。</think>\n---\n{TEXT}\n---",
    ],
)
def test_what_is_said_to_the_one_who_asked_is_taken_off(framed: str) -> None:
    assert read(framed) == TEXT


@pytest.mark.parametrize(
    "line",
    [
        "Sure! Here is a version of the document in other words:",
        "Here are 5 questions and answers about Ferry Larkspur:",
        "I hope this helps! Let me know if you have any other questions.",
        "If you have any further questions, feel free to ask.",
        "This text provides an overview of Ferry Larkspur.",
    ],
)
def test_an_english_frame_may_name_the_title(line: str) -> None:
    text = "Ferry Larkspur is an oak boat.\nShe dates from 1987 and takes 48 people."
    framed = f"{line}\n{text}" if line.endswith(":") else f"{text}\n{line}"
    assert running_text(reply(framed, Subject(FERRY, ABOUT.method))) == text


@pytest.mark.parametrize(
    "line",
    [
        "ご不明な点がございましたら、お気軽にお尋ねください。",
        "他に何かお手伝いできることはありますか？",
        "何か他に必要なことがあれば、お気軽にお知らせください！",
        "以上が書き直した文章です。",
        "ご要望がございましたら、お知らせください。",
        "修正のご希望があれば、ご遠慮なくお申し付けください。",
        "遊覧船あおば丸について、ご質問がある場合は、お気軽にお尋ねください。",
    ],
)
def test_an_offer_at_the_end_is_taken_off(line: str) -> None:
    assert read(f"{TEXT}\n\n{line}") == TEXT


@pytest.mark.parametrize(
    "line",
    [
        "他の人に会員証を貸さないでください。",
        "何か忘れ物をしたときは、港の事務所に電話でお知らせください。",
        "以上が利用の条件であり、違反した会員は退会になります。",
        "この説明は、機種Bにも当てはまります。",
        "この文書は、会員が港の事務所で受け取る会員証のきまりを説明しています。",
        "退会については、お気軽に港の事務所へお尋ねください。",
    ],
)
def test_a_last_line_of_the_matter_stays(line: str) -> None:
    text = f"会員には会員証が渡されます。それは人に貸せません。\n{line}"
    assert running_text(reply(text, Subject(TERMS, ABOUT.method))) == text


@pytest.mark.parametrize(
    "line",
    [
        "ご希望の方には貸し出します。",
        "答え：ご希望の方にはお貸しします。",
        "ご希望の方は係員にお知らせください。",
        "ご希望がございましたら、窓口の係員にお知らせください。",
        "ご要望は月に一度まとめてお伝えします。",
        "ご質問には係が電話でお答えします。",
        "ご希望の場合はお申し付けください。",
        "事務所では、荷物の積み込みをお手伝いします。",
    ],
)
def test_a_rule_in_polite_words_is_no_offer_to_the_one_who_asked(line: str) -> None:
    library = passage("図書室の本は、希望者に貸与する。", "図書室")
    text = f"図書室の本は借りられる。\n{line}"
    assert running_text(reply(text, Subject(library, ABOUT.method))) == text


@pytest.mark.parametrize(
    ("framed", "is_frame"),
    [
        ("以下是会员证的规定：\n{text}", False),
        ("下面是退会的内容：\n{text}", False),
        ("以下是改写后的文章：\n{text}", True),
        ("{text}\n希望以上内容对您有帮助。", True),
        ("{text}\n如果会员证丢失，请随时告诉我。", False),
        ("{text}\n如果您还有其他问题，请随时告诉我。", True),
    ],
)
def test_a_chinese_line_with_a_word_of_the_passage_is_of_the_matter(
    framed: str, is_frame: bool
) -> None:
    club = passage("会员证在港口事务所领取，不得转借。违反内容者退会。其他问题另行规定。", "规约")
    text = "会员可以得到一张证。\n证不能借给别人，违反的人要离开。"
    found = running_text(reply(framed.format(text=text), Subject(club, ABOUT.method)))
    assert found == (text if is_frame else framed.format(text=text))


@pytest.mark.parametrize(
    "line",
    [
        "If you need more than 48 seats, you have to book two crossings.",
        "This version draws 45 watts and weighs 2.4 kg.",
        "This document describes the oak hull of the ferry.",
        "If you want a seat, let the harbour office know, or feel free to ask a member.",
    ],
)
def test_an_english_last_line_of_the_matter_stays(line: str) -> None:
    text = f"Ferry Larkspur is an oak boat that dates from 1987.\n{line}"
    assert running_text(reply(text, Subject(FERRY, ABOUT.method))) == text


@pytest.mark.parametrize(
    "line",
    [
        "以下は会員証についての説明です。",
        "次の一覧は、会員が退会となる場合です。",
        "Here is what a member books:",
    ],
)
def test_a_first_line_of_the_matter_stays(line: str) -> None:
    text = f"{line}\nBook a seat. 席は事務所で取り、証は人に貸さないこと。"
    of = TERMS if comparable(line)[0] != "h" else FERRY
    assert running_text(reply(text, Subject(of, ABOUT.method))) == text


def test_the_lines_of_all_that_was_shown_are_no_lines_of_the_instructions() -> None:
    whole = f"{passage().text}\n燃料には菜種の油だけを使い、港で補給する。"
    messages = (Message("user", f"文書：\n{whole}\n決まり：\n短く書く。"),)
    text = "燃料には菜種の油だけを使い、港で補給する。\nあおば丸はそういう遊覧船である。"
    given = Reply(Request(messages, Sampling(), subject=ABOUT), text)
    assert running_text(given, shown=whole) == text
    with pytest.raises(UnusableReplyError, match="document itself"):
        running_text(Reply(given.request, whole), shown=whole)


@pytest.mark.parametrize(
    "text",
    [
        "以下の三つが特徴である。檜の船体、1987年の建造、48人の定員。\nどれも遊覧船あおば丸のことだ。",
        "次の点を覚えましょう。\n遊覧船あおば丸の定員は48人で、建造は1987年です。",
        "はい、遊覧船あおば丸です。\nわたしの体は檜で、1987年に生まれました。",
        "質問：遊覧船あおば丸の定員は何人ですか。\n答え：48人です。1987年からです。",
        "Here is where the ferry was built.\nThe ferry has been there since 1987, and carries 48 people.",
        "遊覧船あおば丸\n- 造り\n  - 船体は檜\n- 定員\n  - 48人までの客を乗せる\n    - 料金は1,800円",
    ],
)
def test_a_text_that_begins_like_an_announcement_stays_whole(text: str) -> None:
    assert read(text) == text


def test_a_line_that_the_passage_itself_has_is_not_taken_for_a_preamble() -> None:
    line = "以下は船の説明書です。"
    of = passage(f"{line}\n定員は48人、建造は1987年である。")
    found = running_text(
        reply(f"{line}\n乗れるのは48人まで。1987年に造られた。", Subject(of, ABOUT.method))
    )
    assert found.startswith(line)


def test_a_heading_of_the_prompt_that_is_echoed_is_taken_off() -> None:
    messages = (Message("user", f"文書：\n{passage().text}\n\n書き直し：\n船の話。"),)
    request = Request(messages, Sampling(), subject=ABOUT)
    assert running_text(Reply(request, f"書き直し：\n{TEXT}")) == TEXT


def test_a_text_that_repeats_the_instructions_is_of_no_use() -> None:
    rule = "- 短い文だけを使い、むずかしい言葉はやさしく言い換える。"
    own = passage().text.split("\n")[0]
    messages = (Message("user", f"{passage().text}\n決まり：\n{rule}"), Message("assistant", TEXT))
    request = Request(messages, Sampling(), subject=ABOUT)
    with pytest.raises(UnusableReplyError, match="repeats the instructions"):
        running_text(Reply(request, f"{TEXT}\n決まり：\n{rule}"))
    for text in (TEXT, f"{own}\n{TEXT}"):
        assert running_text(Reply(request, text)) == text


def test_a_reply_cut_at_the_limit_ends_with_its_last_whole_sentence() -> None:
    cut = f"{TEXT}\n・料金は1,8"
    assert read(cut, finish_reason="length") == TEXT
    assert read(cut) == cut
    assert whole_sentences("It was built. It carries 48 people. It co") == (
        "It was built. It carries 48 people."
    )
    assert whole_sentences("First.\n2. Sec") == "First."
    with pytest.raises(UnusableReplyError):
        read("遊覧船あおば丸は檜で造られた船で、1987年に生まれ、48人まで", finish_reason="length")


def test_a_cut_reply_without_sentence_marks_ends_at_its_last_space() -> None:
    thai = "เรือลำนี้สร้างในปี 2530 ราคา 1,800 บาท จุคนได้ 48 ค"
    assert whole_sentences(thai) == "เรือลำนี้สร้างในปี 2530 ราคา 1,800 บาท จุคนได้ 48"
    assert whole_sentences(f"ราคา 1,800 บาท\n{thai}").endswith("จุคนได้ 48")
    assert read(thai, finish_reason="length") in thai
    assert whole_sentences("遊覧船 あおば丸は 檜で") == ""


@pytest.mark.parametrize(
    "text", ["", "  \n", "<think>まだ考えて", "```\n```", "はい、承知しました。"]
)
def test_a_reply_without_text_is_of_no_use(text: str) -> None:
    with pytest.raises(UnusableReplyError):
        read(text)


def test_too_little_text_is_of_no_use_but_no_more_is_wanted_than_the_passage_has() -> None:
    short = "定員は48人、船体は檜の木、建造は1987年の遊覧船である。"
    assert word_count(short) < 30 <= word_count(TEXT * 3)
    assert running_text(reply(short, ABOUT)) == short
    with pytest.raises(UnusableReplyError, match="at least"):
        running_text(reply("船体は檜です。", ABOUT), 30)
    of = Subject(passage("船体は檜。"), ABOUT.method)
    assert running_text(reply("檜の船体だ。", of), 30) == "檜の船体だ。"


def test_the_passage_itself_is_no_text_about_it() -> None:
    for copied in (passage().text, f"{passage().title}\n{passage().text}。"):
        with pytest.raises(UnusableReplyError, match="document itself"):
            read(copied)


PROSE = (
    "あおば丸は、みさき港の西桟橋から毎朝九時に出航し、湾を一周して戻る檜造りの遊覧船である。"
    "建造したのは北浜造船で、船長の佐伯が沿岸の地形と灯台の由来をマイクで案内する。"
)
REWRITTEN = (
    "檜で造られた遊覧船あおば丸は、毎朝九時になるとみさき港の西桟橋を離れ、湾をひとめぐりする。"
    "船は北浜造船の手になるもので、船長の佐伯は、灯台の由来や沿岸の地形を客に語って聞かせる。"
)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (PROSE + PROSE[:40], PROSE),
        (PROSE.replace("である。", "です。").replace("案内する。", "案内します。"), PROSE),
        ("まとめ：\n" + PROSE, PROSE),
        (FERRY.text + " Ferry Larkspur was built in 1987.", FERRY.text),
        ("船は檜だ。" * 3, "船は檜だ。"),
    ],
)
def test_a_text_that_is_copied_in_long_pieces_is_no_rewriting(text: str, source: str) -> None:
    assert copied_share(text, source) > 0.9
    given = reply(text, Subject(passage(source), ABOUT.method))
    assert running_text(given, 1) == text
    with pytest.raises(UnusableReplyError, match="copied"):
        rewritten_text(given, 1)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (REWRITTEN, PROSE),
        (
            f"質問：いつ、どこから出るのですか。\n答え：{PROSE[:44]}\n質問：案内は誰がしますか。\n答え：船長の佐伯です。",
            PROSE,
        ),
        (
            "Larkspur, an oaken ferry of 1987, has room for 48 people; members book their seats at "
            "the harbour office.",
            FERRY.text,
        ),
        (
            "料金は1,800円、定員は48人。遊覧船あおば丸が檜の船体で生まれたのは1987年だ。",
            passage().text,
        ),
    ],
)
def test_names_terms_and_figures_are_no_copy(text: str, source: str) -> None:
    assert copied_share(text, source) < 0.7
    assert rewritten_text(reply(text, Subject(passage(source), ABOUT.method))) == text


@given(texts, texts)
def test_the_copied_share_is_a_share_and_whole_for_a_copy(text: str, source: str) -> None:
    assert 0 <= copied_share(text, source) <= 1
    assert copied_share(source, source) == (1 if copied_share(source, source) else 0)


def test_a_text_that_goes_round_in_circles_is_of_no_use() -> None:
    circle = "質問：これは何の茶でしょうか。\n答え：霧降茶という緑茶です。\n"
    assert read(circle)
    with pytest.raises(UnusableReplyError, match="again and again"):
        read(circle * 4)


def test_a_title_with_end_marks_makes_no_circle() -> None:
    title = "ぽい！知らんけど。"
    of = Subject(passage("種別：カードゲーム\n人数：3人から6人\n時間：15分", title), ABOUT.method)
    facts = ["種別はカードゲームだ。", "人数は3人から6人だ。", "時間は15分だ。", "子も遊べる。"]
    text = "\n".join(f"{title}の{fact}" for fact in facts)
    assert running_text(reply(text, of)) == text


def test_two_letters_without_spaces_count_as_one_word() -> None:
    assert word_count("The boat was built in 1987.") == 6
    assert word_count("定員は48人です") == 4
    assert word_count("あ" * 60) == 30
    assert word_count("เรือลำนี้") == 5
    assert word_count("— 。！") == 0


@given(st.lists(sentence, min_size=1, max_size=6))
def test_every_language_has_words(parts: list[str]) -> None:
    total = word_count("\n".join(parts))
    assert len(parts) <= total <= sum(map(word_count, parts)) <= total + len(parts)


@given(texts, st.sampled_from(["stop", "length"]))
def test_what_is_read_stands_in_the_reply(text: str, reason: str) -> None:
    with contextlib.suppress(UnusableReplyError):
        found = running_text(reply(text, ABOUT, finish_reason=reason))
        assert found
        assert found in text
        assert found == found.strip()


@pytest.mark.parametrize("language", sorted(SENTENCES))
def test_plain_sentences_of_any_language_are_read_as_they_are(language: str) -> None:
    text = "\n".join(SENTENCES[language])
    assert read(text) == text
    assert comparable(read(text)) == comparable(text)
