"""Text in several languages for property tests."""

from hypothesis import strategies as st

SENTENCES = {
    "ja": ["この遊覧船は一九八七年に造られた。", "料金は１，８００円です。", "「本当か？」と聞いた。", "カード36枚、説明書1部。"],
    "en": ["The boat was built in 1987.", "It costs $1,800.50!", "Is it so? Yes.", "A deck of 36 cards."],
    "zh": ["这艘船建于1987年。", "票价是一千八百元。", "真的吗？", "共有36张牌。"],
    "th": ["เรือลำนี้สร้างในปี 2530", "ราคา 1,800 บาท", "จริงหรือ", "มีไพ่ 36 ใบ"],
}  # fmt: skip

#: Families and flags of several code points, skin colours, variation selectors: in sentences, and
#: alone.
EMOJI = ["🚢✨出航です🎉", "Family of 4: 👨‍👩‍👧‍👦👍🏽", "1️⃣🍣を頼む。2️⃣🍺を頼む。"]
BARE_EMOJI = ["👨‍👩‍👧‍👦👍🏽", "❤️🏴‍☠️🇯🇵", "🎉"]

characters = st.characters(codec="utf-8", exclude_categories=["Cs"])
any_text = st.text(alphabet=characters, max_size=120)
sentence = st.sampled_from([s for group in (*SENTENCES.values(), EMOJI) for s in group])
natural_text = st.lists(st.one_of(sentence, st.sampled_from(BARE_EMOJI)), max_size=8).map("".join)
texts = st.one_of(any_text, natural_text)
