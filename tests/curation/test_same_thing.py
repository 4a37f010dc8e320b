"""What tells two nearly equal texts apart, and what is a slip of the pen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages import natural_text, texts
from teichaku.core.text import comparable
from teichaku.curation.same_thing import difference, marks_key, number_key

#: Letters and marks that may stand before a number; behind these a dash is its minus.
BEFORE_A_MINUS = ["", *"はガ気到。、：「กภ서 "]
BEFORE_A_NUMBER = [*BEFORE_A_MINUS, *"Aз#$€>≧±+/-.%1三"]
SYMBOLS = "○×△↑↓←→<>♂♀👍👎☀❤❶❷"


@pytest.mark.parametrize(
    ("left", "right", "told"),
    [
        ("規程の第12条に定める。", "規程の第13条に定める。", "12 / 13"),
        ("規程の第十二条に定める。", "規程の第十三条に定める。", "12 / 13"),
        ("2020年に開業した。", "2021年に開業した。", "2020 / 2021"),
        ("二〇二〇年に開業した。", "2021年に開業した。", "2020 / 2021"),
        ("料金は2万5千円です。", "料金は25,500円です。", "25000 / 25500"),
        ("気温は-5度でした。", "気温は5度でした。", "-5 / 5"),
        ("気温はマイナス5度でした。", "気温は5度でした。", "-5 / 5"),
        ("气温是零下5度。", "气温是5度。", "-5 / 5"),
        ("票价是两百元。", "票价是三百元。", "200 / 300"),
        ("อุณหภูมิติดลบ 5 องศา", "อุณหภูมิ 5 องศา", "-5 / 5"),
        ("It was minus 5.", "It was 5.", "-5 / 5"),
        ("倍率は1.5倍です。", "倍率は15倍です。", "1.5 / 15"),
        ("ราคา ๑๒ บาท", "ราคา ๑๓ บาท", "12 / 13"),
        ("票价是12元。", "票价是13元。", "12 / 13"),
        ("型番PX-20Aの部品です。", "型番PX-20Bの部品です。", "px20a / px20b"),
        ("GPUで計算します。", "CPUで計算します。", "gpu / cpu"),
        ("申し込みは東京支店で受け付けます。", "申し込みは大阪支店で受け付けます。", "東京 / 大阪"),
        ("申し込みは静岡支店で受け付けます。", "申し込みは福岡支店で受け付けます。", "静岡 / 福岡"),
        ("それは津市にあります。", "それは堺市にあります。", "津 / 堺"),
        ("担当は田中さんです。", "担当は佐藤さんです。", "田中 / 佐藤"),
        ("イタリアから届いた。", "フランスから届いた。", "イタリア / フランス"),
        ("「春の海」を聞いた。", "「秋の空」を聞いた。", "春の海 / 秋の空"),
        ("We met in Tokyo last year.", "We met in Osaka last year.", "Tokyo / Osaka"),
    ],
)  # fmt: skip
def test_other_numbers_and_named_things_are_told(left: str, right: str, told: str) -> None:
    assert difference(left, right) == told
    assert difference(right, left) == " / ".join(reversed(told.split(" / ")))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("申し込みは東京支店で受け付けます。", "申し込みは東京支店が受け付けます。"),
        ("申し込みは東京支店で受け付けます。", "申し込みは東支店で受け付けます。"),
        ("サーバーを起動します。", "サーバを起動します。"),
        ("サーバーを起動します。", "サーあバーを起動します。"),
        ("第12条に定める。", "第十二条に定める。"),
        ("気温はマイナス5度でした。", "気温は-5度でした。"),
        ("人口是3亿。", "人口是3億。"),
        ("料金は１，８００円です。", "料金は1800円です。"),
        ("型番PX-20Aの部品。", "型番ＰＸ‐２０Ａの部品。"),
        ("The boat left Tokyo at noon.", "A boat left Tokyo at noon."),
        ("We met in Tokyo last year.", "We met in Tokio last year."),
        ("一つ目です。二つ目です。", "二つ目です。一つ目です。"),
        ("定員は48人です。料金は300円です。", "料金は300円です。定員は48人です!"),
        ("建造は1987年。", "建造は1987年。料金は300円。"[:8]),
    ],
)
def test_slips_and_orders_are_no_difference(left: str, right: str) -> None:
    assert difference(left, right) == ""


def test_numbers_that_change_places_differ_though_all_are_there() -> None:
    left, right = "甲は12人です。乙は13人です。", "甲は13人です。乙は12人です。"
    assert difference(left, right) == "12, 13 / 13, 12"
    assert difference("12から13まで。", "13から12まで。") == "12, 13 / 13, 12"


@pytest.mark.parametrize(
    ("left", "right", "told"),
    [
        ("残高－300円です。", "残高300円です。", "-300 / 300"),
        ("損益は▲300円です。", "損益は300円です。", "-300 / 300"),
        ("前年比-3%です。", "前年比3%です。", "-3 / 3"),
        ("อุณหภูมิ-5 องศา", "อุณหภูมิ5 องศา", "-5 / 5"),
        ("誤差±5です。", "誤差5です。", "±5 / 5"),
        ("値は≧5です。", "値は≦5です。", "≥5 / ≤5"),
        ("値は+5点です。", "値は-5点です。", "+5 / -5"),
        ("値は.5です。", "値は5です。", "0.5 / 5"),
        ("予算は5万円です。", "予算は5億円です。", "50000 / 500000000"),
        ("第①項に定める。", "第②項に定める。", "1 / 2"),
        ("料金は$100です。", "料金は€100です。", "$100 / €100"),
        ("割引は5%です。", "割引は5円です。", "5% / 5円"),
        ("期間は3日間です。", "期間は3週間です。", "3日間 / 3週間"),
        ("割引は5%です。", "割引は5‰です。", "5% / 5‰"),
        ("全長は1.5kmです。", "全長は1.5mです。", "1.5km / 1.5m"),
        ("温度は20℃です。", "温度は20°Fです。", "20°C / 20°F"),
        ("午前3時に開く。", "午後3時に開く。", "午前3時 / 午後3時"),
        ("It opens at 3 am.", "It opens at 3 pm.", "3 am / 3 pm"),
    ],
)
def test_another_sign_or_unit_is_another_number(left: str, right: str, told: str) -> None:
    assert difference(left, right) == told
    assert difference(right, left) == " / ".join(reversed(told.split(" / ")))


@pytest.mark.parametrize(
    ("left", "right", "told"),
    [
        ("プランAを選びます。", "プランBを選びます。", "a / b"),
        ("Choose Plan A now.", "Choose Plan B now.", "a / b"),
        ("第Ⅰ章に書く。", "第Ⅱ章に書く。", "i / ii"),
        ("C++で書く。", "C#で書く。", "c++ / c#"),
        ("端末でgit pushと打つ。", "端末でgit pullと打つ。", "push / pull"),
        ("書類はpdfで送る。", "書類はzipで送る。", "pdf / zip"),
        ("株式会社青葉が受けた。", "株式会社若葉が受けた。", "青葉 / 若葉"),
        ("社員が京都に出張する。", "社員が東京に出張する。", "京都 / 東京"),
        ("社員が静岡に出張する。", "社員が福岡に出張する。", "静岡 / 福岡"),
        ("京都から東京へ行く。", "大阪から札幌へ行く。", "京都 / 大阪"),
        ("男性の割合が高い。", "女性の割合が高い。", "男性 / 女性"),
        ("定員は5人以上です。", "定員は5人以下です。", "人以上 / 人以下"),
        ("公司在北京办公。", "公司在上海办公。", "北京 / 上海"),
        ("我们住在北京市。", "我们住在南京市。", "北 / 南"),
        ("บริษัทอยู่ที่กรุงเทพ", "บริษัทอยู่ที่เชียงใหม่", "กรุงเทพ / เชียงใหม่"),
        ("회사는 서울에 있다.", "회사는 부산에 있다.", "서울에 / 부산에"),
        ("Иван живёт в Москве.", "Иван живёт в Лондоне.", "Москве / Лондоне"),
    ],
)
def test_bare_names_and_letters_that_stand_for_others_are_told(
    left: str, right: str, told: str
) -> None:
    assert difference(left, right) == told
    assert difference(right, left) == " / ".join(reversed(told.split(" / ")))


@given(natural_text, st.sampled_from(BEFORE_A_NUMBER), *[st.integers(0, 9999)] * 2, natural_text)
def test_another_value_is_told_whatever_stands_before_it(
    before: str, prefix: str, value: int, other: int, after: str
) -> None:
    left, right = (f"{before}\n{prefix}{number}度{after}" for number in (value, other))
    assert bool(difference(left, right)) == (value != other)


@given(natural_text, st.sampled_from(BEFORE_A_MINUS), st.integers(1, 9999), natural_text)
def test_a_lost_sign_is_told_whatever_stands_before_it(
    before: str, prefix: str, value: int, after: str
) -> None:
    left, right = (f"{before}\n{prefix}{sign}{value}度{after}" for sign in ("-", ""))
    assert difference(left, right)
    assert comparable(left) != comparable(right)
    for sign in ("±", "≧", "+"):
        signed = f"{before}\n{prefix}{sign}{value}度{after}"
        assert difference(left, signed)
        assert difference(right, signed)
        assert marks_key(right) != marks_key(signed)


@given(natural_text, st.permutations(list(SYMBOLS)), natural_text)
def test_symbols_that_stand_for_others_differ_and_a_decoration_does_not(
    before: str, symbols: list[str], after: str
) -> None:
    left, right, bare = (f"{before}答えは{symbol}です。{after}" for symbol in (*symbols[:2], ""))
    assert difference(left, right) == f"{symbols[0]} / {symbols[1]}"
    assert difference(left, bare) == difference(bare, left) == ""
    assert marks_key(left) != marks_key(right)


def test_symbols_that_change_places_differ() -> None:
    assert difference("気温は↑、湿度は↓です。", "気温は↓、湿度は↑です。") == "↑, ↓ / ↓, ↑"
    assert difference("雨☀️", "雨☂️") == "☀ / ☂"


def test_sentences_that_exchange_their_numbers_differ_but_not_the_items_of_a_list() -> None:
    form = "甲社の料金です。\n{}円です。\n乙社の料金です。\n{}円です。"
    assert difference(form.format(12, 13), form.format(13, 12)) == "12, 13 / 13, 12"
    form = "Alpha plan. It costs {} yen. Beta plan. It costs {} yen."
    assert difference(form.format(12, 13), form.format(13, 12)) == "12, 13 / 13, 12"
    assert difference("はじめに。1番です。2番です。", "はじめに。2番です。1番です。") == ""
    assert difference("定員は5人。甲です。料金は6円。", "料金は6円。甲です。定員は5人。") == ""


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("図-3を見る。", "図3を見る。"),
        ("気温は5度-10度です。", "気温は5度〜10度です。"),
        ("■定員は48人です。", "●定員は48人です。"),
        ("正解は✕です。", "正解は×です。"),
        ("料金は100円です。", "料金は100 yenです。"),
        ("温度は20℃です。", "温度は20度です。"),
        ("交換には12.5時間かかる。", "交換には12.5時を間かかる。"),
        ("費用を計算する。", "費用を試算する。"),
        ("簡単な方法です。", "容易な方法です。"),
        ("京都に行く。", "京都府に行く。"),
        ("我在家中。", "我在家里。"),
        ("서울에 있다.", "서울에 있어."),
        ("Он живёт в Москве.", "Он живёт в Мосве."),
        ("I saw it there.", "We saw it there."),
        ("葛󠄀城市です。", "葛城市です。"),
    ],
)
def test_other_ways_to_write_the_same_are_no_difference(left: str, right: str) -> None:
    assert difference(left, right) == ""
    assert difference(right, left) == ""


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (
            "期限を過ぎた申請は取り下げることができます。",
            "期限を過ぎた申請は取り下げることができません。",
        ),
        ("この部屋は予約が必要です。", "この部屋は予約が不要です。"),
        ("Guests may leave without a key.", "Guests may leave with a key."),
        ("You can cancel it later.", "You can't cancel it later."),
        ("这个房间有窗户。", "这个房间没有窗户。"),
        ("ห้องนี้ใช้ได้ทุกวัน", "ห้องนี้ใช้ไม่ได้ทุกวัน"),
        ("이 방은 쓸 수 있다.", "이 방은 쓸 수 있지 않다."),
        ("Он работает вечером.", "Он не работает вечером."),
    ],
)
def test_what_one_text_denies_and_the_other_does_not_differs(left: str, right: str) -> None:
    assert difference(left, right)
    assert difference(right, left)


@pytest.mark.parametrize(
    ("left", "right", "told"),
    [
        ("患者の血液型はRh-です。", "患者の血液型はRh+です。", "Rh- / Rh+"),
        ("血液型はRh−です。", "血液型はRhです。", "Rh- / "),
        ("陽極の電荷はNa+です。", "陽極の電荷はNaです。", "Na+ / "),
        ("The grade is A- now.", "The grade is A now.", "A- / "),
        ("เกรดคือ A+ ครับ", "เกรดคือ A ครับ", "A+ / "),
        ("评级为A+。", "评级为A。", "A+ / "),
    ],
)
def test_another_sign_of_a_grade_is_another_grade(left: str, right: str, told: str) -> None:
    assert difference(left, right) == told
    assert difference(right, left)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("学習率は1e-4です。", "学習率は1e4です。"),
        ("解はx-1です。", "解はx1です。"),
        ("The rate is 2.5e-4.", "The rate is 2.5e4."),
        ("学习率为1e-4。", "学习率为1e4。"),
        ("อัตราคือ 1e-4", "อัตราคือ 1e4"),
    ],
)
def test_a_minus_behind_a_letter_makes_another_number(left: str, right: str) -> None:
    assert difference(left, right) and difference(right, left)
    assert marks_key(left) != marks_key(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Ctrl+Cを押す。", "Ctrl+C を押す。"),
        ("等級はA+です。", "等級はＡ＋です。"),
        ("等級はA-です。", "等級はＡ−です。"),
        ("料金は๕円です。", "料金は5円です。"),
    ],
)
def test_signs_that_are_written_otherwise_are_no_difference(left: str, right: str) -> None:
    assert difference(left, right) == ""


def test_what_both_deny_in_other_words_does_not_differ() -> None:
    assert difference("この券は使えないです。", "この券は使えません。") == ""


@given(texts, texts)
def test_the_same_text_never_differs_and_the_guard_looks_the_same_from_both_sides(
    left: str, right: str
) -> None:
    assert difference(left, left) == ""
    assert bool(difference(left, right)) == bool(difference(right, left))


@given(texts, st.permutations(["一つ。", "第2条。\n", "東京支店。", "PX-20A。"]))
def test_sentences_in_another_order_do_not_differ(text: str, parts: list[str]) -> None:
    ordered = f"{text}\n" + "".join(sorted(parts))
    assert difference(ordered, f"{text}\n" + "".join(parts)) == ""


@given(texts, texts)
def test_texts_that_do_not_differ_have_the_same_numbers(left: str, right: str) -> None:
    if not difference(left, right) and comparable(left) != comparable(right):
        assert number_key(left) == number_key(right)
