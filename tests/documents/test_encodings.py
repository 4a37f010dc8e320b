import pytest
from hypothesis import given
from hypothesis import strategies as st

from teichaku.documents.content import LoadingError
from teichaku.documents.encodings import decode

JAPANESE = (
    "水曜日は定休日です。",
    "カツオの刺身、五百円。",
    "営業時間は午前十一時から午後二時三十分までとする。",
    "「本サービス」とは、市が提供する情報をいう。\n",
    "データの移行は、システムの更改に先立って行う。",
    "ABC 123、第１条による。",
)
ENGLISH = ("The shop opens at eleven. ", "It closes at nine.\n", "Lunch: 980 yen. ")
CHINESE = (
    "北京是中华人民共和国的首都，也是全国的政治中心。",
    "这座城市有三千多年的历史，人口超过两千万。",
    "他们在大学里学习汉语和历史。\n",
)
THAI = (
    "กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทย ",
    "เป็นศูนย์กลางการปกครองและการศึกษา\n",
    "มีประชากรมากที่สุดในประเทศ ",
)


def text_of(phrases: tuple[str, ...], least: int = 1) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(phrases), min_size=least, max_size=30).map("".join)


@given(
    text_of(JAPANESE),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp932", "euc_jp", "iso2022_jp"]),
)
def test_japanese_comes_back_from_every_encoding_that_holds_it(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding))[0] == text


@given(text_of(JAPANESE), st.sampled_from(["utf-16-le", "utf-16-be"]))
def test_utf16_needs_no_mark_where_the_text_has_line_ends(text: str, encoding: str) -> None:
    text += "\n"
    assert decode(text.encode(encoding))[0] == text


@given(text_of(ENGLISH), st.sampled_from(["ascii", "cp932", "euc_jp", "utf-16", "utf-16-le"]))
def test_english_comes_back(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding))[0] == text


@given(text_of(CHINESE), st.sampled_from(["utf-8", "gb18030", "utf-16"]))
def test_chinese_comes_back(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding))[0] == text


@given(text_of(THAI, least=2), st.sampled_from(["utf-8", "cp874", "utf-16", "utf-16-be"]))
def test_thai_comes_back(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding))[0] == text


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_any_text_comes_back_from_utf8(text: str) -> None:
    assert decode(text.encode("utf-8-sig"))[0] == text


@pytest.mark.parametrize(
    ("text", "encoding", "found"),
    [
        ("㈲山本商店は～です", "cp932", "cp932"),  # not in strict Shift_JIS
        ("①番の㈱の会社です", "euc_jis_2004", "euc_jis_2004"),  # not in strict EUC-JP
        ("大阪府大阪市北区中之島一丁目", "cp932", "cp932"),  # no kana at all
        ("ﾌﾘｺﾐ ｶ)ｼﾖｳﾃﾝ 1000", "cp932", "cp932"),  # a bank's file
        ("ｶﾅと漢字のある文です。", "iso2022_jp_ext", "iso2022_jp_ext"),
        ("서울은 대한민국의 수도이며 최대의 도시이다.", "euc_kr", "cp949"),
        ("臺北是中華民國的首都，也是全國的政治中心。", "big5", "big5"),
        ("Les élèves français étaient à Besançon cet été.", "cp1252", "cp1252"),
        ("Москва является столицей России.", "cp1251", "cp1251"),
    ],
)
def test_encoding_is_found_by_content(text: str, encoding: str, found: str) -> None:
    assert decode(text.encode(encoding)) == (text, found)


def test_declared_encoding_decides_where_content_does_not() -> None:
    kanji = "株式会社"  # these bytes are Korean as well
    assert decode(kanji.encode("euc_jp"), "EUC-JP") == (kanji, "euc_jp")
    assert decode("é".encode("latin-1"), "iso-8859-1") == ("é", "cp1252")


def test_declared_encoding_is_not_believed_where_the_content_is_another() -> None:
    text = "文字コードの宣言が間違っている文書です。"
    for declared in ("iso-8859-1", "utf-8", "euc-jp", "no-such-code", "rot13"):
        assert decode(text.encode("cp932"), declared) == (text, "cp932")
    assert decode(text.encode("euc_jp"), "shift_jis")[0] == text


@pytest.mark.parametrize("encoding", ["utf-8", "cp932", "euc_jp"])
def test_damaged_text_is_refused_with_the_place(encoding: str) -> None:
    data = bytearray(("一行目です。\n" + "二行目の文章です。" * 20).encode(encoding))
    position = data.index(b"\n") + 2  # in the middle of the first character of line 2
    data[position] = 0xFF
    with pytest.raises(LoadingError, match=r"line 2") as caught:
        decode(bytes(data))
    assert caught.value.reason == "undecodable"
    assert encoding in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("data", [bytes(range(256)) * 4, b"\x89PNG\r\n\x1a\n" + bytes(50)])
def test_binary_data_is_refused(data: bytes) -> None:
    with pytest.raises(LoadingError) as caught:
        decode(data)
    assert caught.value.reason == "undecodable"


@pytest.mark.parametrize(
    "text",
    [
        "It\u0092s the museum\u0092s plan.",  # Windows quotes that came through Latin-1
        "A note\x01 of ours.",
        "本町の\x01案内。",
        "A note.\0",
    ],
)
def test_stray_control_characters_make_no_other_encoding_of_utf8(text: str) -> None:
    assert decode(text.encode()) == (text, "utf-8")


def test_stray_control_character_makes_no_binary_data_of_japanese() -> None:
    assert decode("本日の\x01ご案内です。".encode("cp932"))[1] == "cp932"


@pytest.mark.parametrize("text", ["あ、いえお", "กรุงเทพ", "Hi.\n"])
def test_utf16_is_found_where_each_byte_fits_utf8(text: str) -> None:
    assert decode(text.encode("utf-16-le")) == (text, "utf-16-le")
