"""Personal data is found in every form in which it is written, and its like is left alone."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages import natural_text, texts
from made import example
from teichaku.backends.ginza_names import GinzaNames
from teichaku.core.errors import MissingExtraError
from teichaku.core.records import Dropped, Example
from teichaku.curation.chain import curate
from teichaku.curation.personal_data.labels import KINDS, LABELS
from teichaku.curation.personal_data.masking import PersonalData, PersonalDatum, mask_personal_data
from teichaku.curation.personal_data.numbers import (
    is_card_number,
    is_corporate_number,
    is_my_number,
    passes_luhn,
)
from teichaku.curation.personal_data.search import find_personal_data
from teichaku.curation.rules.markup import leftover_markup

#: Check digits computed by hand from the published rule; the corporate number is that of the
#: National Tax Agency, the card numbers are those that card brands publish for tests.
MY_NUMBER, CORPORATE_NUMBER, CARD = "123456789018", "7000012050002", "4111111111111111"
FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)} | {0x20: 0x3000}

FOUND = [
    ("email", "連絡は taro.yamada+boat@mail.example.co.jp まで", "taro.yamada+boat@mail.example.co.jp"),
    ("email", "メールはtaro@example.jpまで。", "taro@example.jp"),
    ("phone", "電話03-1234-5678です", "03-1234-5678"),
    ("phone", "電話は054-626-2155まで", "054-626-2155"),
    ("phone", "0548-22-1131", "0548-22-1131"),
    ("phone", "窓口：01267-2-1234", "01267-2-1234"),
    ("phone", "03(1234)5678", "03(1234)5678"),
    ("phone", "（０５４）６２８−３７６４", "（０５４）６２８−３７６４"),
    ("phone", "携帯 090-1234-5678", "090-1234-5678"),
    ("phone", "09012345678へ", "09012345678"),
    ("phone", "080 1234 5678", "080 1234 5678"),
    ("phone", "050-1234-5678", "050-1234-5678"),
    ("phone", "０３ー１２３４ー５６７８", "０３ー１２３４ー５６７８"),
    ("phone", "03‐1234‐5678 / 03–1234–5678", "03‐1234‐5678"),
    ("phone", "+81-3-1234-5678", "+81-3-1234-5678"),
    ("phone", "+81 90 1234 5678", "+81 90 1234 5678"),
    ("phone", "+81-(0)3-1234-5678", "+81-(0)3-1234-5678"),
    ("phone", "+819012345678", "+819012345678"),
    ("phone", "フリーダイヤル0120-123-456", "0120-123-456"),
    ("phone", "0800-123-4567", "0800-123-4567"),
    ("phone", "0570-012-345", "0570-012-345"),
    ("phone", "TEL:0312345678", "0312345678"),
    ("phone", "連絡先2:03-1234-5678", "03-1234-5678"),
    ("postal_code", "〒100-0001", "100-0001"),
    ("postal_code", "〒１００−０００１ 東京都", "１００−０００１"),
    ("postal_code", "郵便番号：1000001", "1000001"),
    ("postal_code", "100-0001 東京都千代田区", "100-0001"),
    ("my_number", f"マイナンバーは{MY_NUMBER}です", MY_NUMBER),
    ("my_number", "個人番号 1234-5678-9018", "1234-5678-9018"),
    ("my_number", "My Number: 1234 5678 9018", "1234 5678 9018"),
    ("corporate_number", f"法人番号：{CORPORATE_NUMBER}", CORPORATE_NUMBER),
    ("corporate_number", f"T{CORPORATE_NUMBER}", f"T{CORPORATE_NUMBER}"),
    ("bank_account", "青葉銀行 港支店 普通 1234567", "1234567"),
    ("bank_account", "口座番号：０１２３４５６", "０１２３４５６"),
    ("bank_account", "当座預金1234567", "1234567"),
    ("bank_account", "青葉銀行港支店（123）1234567", "1234567"),
    ("bank_account", "記号：12345 番号：12345678", "12345"),
    ("bank_account", "Account number: 12345678", "12345678"),
    ("bank_account", "账号：6222021234567890123", "6222021234567890123"),
    ("bank_account", "เลขที่บัญชี 123-4-56789-0", "123-4-56789-0"),
    ("card", "4111 1111 1111 1111", "4111 1111 1111 1111"),
    ("card", "5555-5555-5555-4444", "5555-5555-5555-4444"),
    ("card", "３７８２ ８２２４６３ １０００５", "３７８２ ８２２４６３ １０００５"),
    ("card", "JCBは3530111333300000", "3530111333300000"),
    ("card", "3056 930902 5904", "3056 930902 5904"),
    ("card", "クレジットカード4222222222222", "4222222222222"),
]  # fmt: skip

NOTHING = [
    "2024-01-15から2024/02/20まで、2024年1月15日、01-12-2024",
    "営業時間 10:00-18:00、9:00～17:00（土日は10:00-15:00）",
    "料金は1,800円、合計0,123円、¥12,345,678、$1,234.56",
    "型番AB-0312-4567、品番03-123、注文番号0123-45",
    "バーコード：4582614140021、カード21枚",
    "ISBN 978-4-06-519981-7、ISBN-10: 4-06-519981-9、ISBN 0-306-40615-2",
    "版は1.2.3.4、アドレスは192.168.0.1、v0.12.345.6789",
    "緯度35.6895、経度139.6917。北緯35度41分22秒",
    "平成27年法律第27号、第03条の2、昭和60-12-31",
    "人口は1234567人、口座開設数は1234567件、普通は1000000円かかる",
    "口座は2024-01-15に開いた。当座は123456円",
    "110番、119番、#7119、188に電話",
    f"番号{MY_NUMBER}、{CORPORATE_NUMBER}",
    "マイナンバーは123456789012です",
    "法人番号：7000012050003",
    "4111 1111 1111 1112",
    "@user、npm install @types/node@18.0.0、user@localhost、git@github.com:a/b.git",
    "円周率3.14159265358979、1e-10、0123456789",
    "1000-0001、100-00012",
    "①03番線、²03-12",
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "datum"), FOUND)
def test_each_form_is_found_at_its_place(kind: str, text: str, datum: str) -> None:
    found = find_personal_data(text)
    assert (kind, datum) in [(some.kind, text[some.start : some.end]) for some in found]
    assert {some.kind for some in found} == {kind}
    assert not any(character.isalnum() for some in found for character in some.evidence)


@pytest.mark.parametrize("text", NOTHING)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert find_personal_data(text) == []


@pytest.mark.parametrize(("kind", "text", "datum"), FOUND)
def test_full_width_is_found_as_half_width_is(kind: str, text: str, datum: str) -> None:
    places = [(some.kind, some.start, some.end) for some in find_personal_data(text)]
    wide = text.translate(FULL_WIDTH)
    assert [(some.kind, some.start, some.end) for some in find_personal_data(wide)] == places


@given(st.sampled_from(FOUND), natural_text, natural_text)
def test_what_stands_around_changes_nothing(
    chosen: tuple[str, str, str], before: str, after: str
) -> None:
    text = chosen[1]
    alone = find_personal_data(text)
    whole = find_personal_data(f"{before}\n{text}\n{after}")
    shift = len(before) + 1
    assert {(s.kind, s.start + shift, s.end + shift) for s in alone} <= {
        (s.kind, s.start, s.end) for s in whole
    }


digits_and_words = st.lists(
    st.one_of(
        st.text("0123456789-－ー（）()+ .", max_size=14),
        st.sampled_from([datum for _, _, datum in FOUND] + [text for _, text, _ in FOUND]),
        st.sampled_from(
            ["電話", "口座番号", "普通", "〒", "マイナンバー", "カード番号", "😀", "、", "\n"]
        ),
    ),
    max_size=8,
).map("".join)


@given(st.one_of(texts, digits_and_words), st.sampled_from(sorted(LABELS)))
def test_after_masking_nothing_is_found_and_the_rest_is_untouched(text: str, language: str) -> None:
    one = example("定員は？", text, language=language)
    (masked,) = PersonalData()([one])
    assert isinstance(masked, Example)
    assert find_personal_data(masked.answer) == []
    if not find_personal_data(text):
        assert masked == one
    assert (masked.id, masked.parent_ids, masked.question) == (one.id, one.parent_ids, one.question)


@given(digits_and_words)
def test_places_are_in_order_and_apart(text: str) -> None:
    found = find_personal_data(text)
    assert all(some.start < some.end <= len(text) for some in found)
    ends = [(some.start, some.end) for some in found]
    assert all(first[1] <= second[0] for first, second in pairwise(ends))


CONTACT = "ご連絡は電話03-1234-5678かtaro@example.jpへ。"


def test_mask_puts_a_label_in_the_language_of_the_example() -> None:
    (ja,) = PersonalData()([example("連絡先は？", CONTACT)])
    assert isinstance(ja, Example)
    assert ja.answer == "ご連絡は電話[電話番号]か[メールアドレス]へ。"
    (en,) = PersonalData()([example("電話03-1234-5678は？", "Call 090-1234-5678.", language="en")])
    assert isinstance(en, Example)
    assert (en.question, en.answer) == ("電話[phone number]は？", "Call [phone number].")
    assert leftover_markup(ja) is None and leftover_markup(en) is None


def test_every_datum_is_noted_and_shown_nowhere() -> None:
    noted: list[PersonalDatum] = []
    one = example("連絡先は？", CONTACT, input="〒100-0001")
    for action in ("mask", "drop", "report"):
        noted.clear()
        (out,) = curate([one], [PersonalData(action, note=noted.append)])
        assert [(n.field, n.kind, n.action) for n in noted] == [
            ("input", "postal_code", action),
            ("answer", "phone", action),
            ("answer", "email", action),
        ]
        assert {n.example_id for n in noted} == {one.id}
        assert "1234" not in str(noted) and "taro" not in str(noted)
        if action == "report":
            assert out is one
        if action == "drop":
            assert isinstance(out, Dropped) and out.record_id == one.id
            assert out.reason == "personal_data" and "phone" in out.evidence
            assert "1234" not in str(out) and "taro" not in str(out)


def test_allowed_values_stay_in_whatever_form_they_are_written() -> None:
    allow = frozenset({"03-1234-5678", "TARO@example.jp"})
    for text in (CONTACT, "電話０３（１２３４）５６７８", "+81-3-1234-5678"):
        assert find_personal_data(text, allow=allow) == []
    assert find_personal_data("03-1234-5679", allow=allow)


def test_only_the_kinds_that_are_asked_for() -> None:
    assert [d.kind for d in find_personal_data(CONTACT, ("email",))] == ["email"]
    assert mask_personal_data("無し", find_personal_data("無し")) == "無し"
    for labels in LABELS.values():
        assert labels.keys() == set(KINDS)


class Names:
    """Finds one family name, as a model would."""

    def find_names(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        return [[(t.index("山田"), t.index("山田") + 4)] if "山田" in t else [] for t in texts]


def test_names_come_from_the_model_that_is_handed_in() -> None:
    one = example("船長は？", "船長は山田太郎、電話は03-1234-5678です。")
    (masked,) = PersonalData(names=Names())([one])
    assert isinstance(masked, Example)
    assert masked.answer == "船長は[人名]、電話は[電話番号]です。"
    (kept,) = PersonalData(names=Names(), allow=frozenset({"山田太郎"}))([one])
    assert isinstance(kept, Example) and "山田太郎" in kept.answer
    (without,) = PersonalData(kinds=("phone",), names=Names())([one])
    assert isinstance(without, Example) and "山田太郎" in without.answer


def test_a_missing_extra_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "spacy", None)
    with pytest.raises(MissingExtraError, match="names"):
        GinzaNames().find_names(["山田太郎"])


def test_the_check_digit_of_a_my_number() -> None:
    # 12345678901: 1*2+0*3+9*4+8*5+7*6+6*7+5*2+4*3+3*4+2*5+1*6 = 212, 212 mod 11 = 3, 11-3 = 8.
    assert is_my_number(MY_NUMBER)
    # 00000000001 gives 2, 11 - 2 = 9; 00000000000 gives 0 and so 0; 00000000060 gives 18, 7, 4.
    assert is_my_number("000000000019")
    assert is_my_number("000000000000")
    assert is_my_number("000000000604")
    # 00000000006 gives 12, remainder 1: the check digit is 0, not 10.
    assert is_my_number("000000000060")
    assert not is_my_number("12345678901") and not is_my_number("12345678901x")


def test_the_check_digit_of_a_corporate_number() -> None:
    # 000012050002: 2*1+0*2+0*1+0*2+5*1+0*2+2*1+1*2 = 11, 11 mod 9 = 2, 9-2 = 7.
    assert is_corporate_number(CORPORATE_NUMBER)
    # 123456789012 gives 74, remainder 2, 7; a sum that 9 divides gives 9, never 0.
    assert is_corporate_number("7123456789012")
    assert is_corporate_number("9000000000000")
    assert not is_corporate_number("700001205000")


@given(st.text("0123456789", min_size=11, max_size=11))
def test_one_check_digit_in_ten_is_right(base: str) -> None:
    assert sum(is_my_number(base + str(digit)) for digit in range(10)) == 1
    assert sum(is_corporate_number(f"{digit}0{base}") for digit in range(10)) == 1
    assert sum(passes_luhn(base + str(digit)) for digit in range(10)) == 1


@given(st.integers(0, 11), st.integers(1, 9))
def test_one_wrong_digit_breaks_a_card_number(place: int, change: int) -> None:
    assert is_card_number(CARD)
    wrong = list(CARD)
    wrong[place + 3] = str((int(wrong[place + 3]) + change) % 10)
    assert not is_card_number("".join(wrong))
    assert not is_card_number("9" + CARD[1:]) and not is_card_number(CARD + "0")
