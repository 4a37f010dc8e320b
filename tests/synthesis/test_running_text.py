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
from teichaku.synthesis.running_text import running_text, whole_sentences, word_count

ABOUT = Subject(passage(), Paraphrase({"easy": PromptPack("ja").load("paraphrase_easy")}, "ja"))
TEXT = "遊覧船あおば丸は、檜で造られた船です。\n1987年に生まれ、48人まで乗れます。"


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


def test_a_text_that_goes_round_in_circles_is_of_no_use() -> None:
    circle = "質問：これは何の茶でしょうか。\n答え：霧降茶という緑茶です。\n"
    assert read(circle)
    with pytest.raises(UnusableReplyError, match="again and again"):
        read(circle * 4)


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
