from collections.abc import Sequence
from pathlib import Path

import pytest

from teichaku.documents.content import Columns, Content, LoadingError
from teichaku.documents.page_lines import Glyph, Line, join_lines, lines_of
from teichaku.documents.pdf import read_pdf

DATA = Path(__file__).parent / "data"
SIZE = 10


def pdf(
    pages: Sequence[Sequence[tuple[int, int, str]]], title: str = "", author: str = ""
) -> bytes:
    """A PDF with ten-point text at the given places (x, y, text) of its pages."""
    streams = []
    for page in pages:
        shown = (f"1 0 0 1 {x} {y} Tm <{t.encode('utf-16-be').hex()}> Tj" for x, y, t in page)
        streams.append(f"BT /F 10 Tf {' '.join(shown)} ET")
    kids = " ".join(f"{6 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type0 /BaseFont /HeiseiMin-W3 /Encoding /UniJIS-UCS2-H"
        " /DescendantFonts [4 0 R] >>",
        "<< /Type /Font /Subtype /CIDFontType0 /BaseFont /HeiseiMin-W3 /CIDSystemInfo << /Registry"
        " (Adobe) /Ordering (Japan1) /Supplement 2 >> /W [1 95 500] >>",
        f"<< /Title <feff{title.encode('utf-16-be').hex()}>"
        f" /Author <feff{author.encode('utf-16-be').hex()}> >>",
    ]
    for stream in streams:
        number = len(objects) + 2
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 400 600] /Resources << /Font << /F 3 0 R >>"
            f" >> /Contents {number} 0 R >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    data, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(data))
        data += f"{number} 0 obj\n{content}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    trailer = f"<< /Size {len(objects) + 1} /Root 1 0 R /Info 5 0 R >>"
    end = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n{trailer}\n"
    return data + f"{end}startxref\n{len(data)}\n%%EOF".encode()


def read(data: bytes) -> Content:
    (content,) = read_pdf(data, "要領.pdf", Columns())
    assert isinstance(content, Content)
    return content


def refusal(data: bytes) -> LoadingError:
    with pytest.raises(LoadingError) as caught:
        list(read_pdf(data, "a.pdf", Columns()))
    return caught.value


def lines(*texts: str, left: float = 0, width: float = 0) -> list[Line]:
    """Lines under one another; those with ``width`` reach to the same right edge."""
    return [
        Line(
            text=text,
            left=left,
            right=left + (width or len(text) * SIZE),
            top=500.0 - 15 * number,
            size=SIZE,
            first_word=len(text.split()[0]) * 5 if text.isascii() else SIZE,
        )
        for number, text in enumerate(texts)
    ]


def test_japanese_lines_are_joined_without_spaces_and_short_lines_end_a_paragraph() -> None:
    page = [
        (50, 500, "資産を新しいシステムに移すことがしばしば必要"),
        (50, 485, "となる。調達にあたって考慮すべき点を解説する"),
        (50, 470, "ものである。"),
        (50, 455, "次の節では要件を述べる。移行には費用がかかる"),
        (50, 440, "ため、早めに備える。"),
    ]
    assert read(pdf([page])).text == (
        "資産を新しいシステムに移すことがしばしば必要となる。調達にあたって考慮すべき点を解説する"
        "ものである。\n次の節では要件を述べる。移行には費用がかかるため、早めに備える。"
    )


def test_the_author_of_the_metadata_is_named_unless_it_is_an_account() -> None:
    page = [(50, 500, "資産を移す。")]
    assert read(pdf([page], author="山田花子")).attribution == "山田花子"
    assert read(pdf([page], author="Administrator")).attribution == ""
    assert read(pdf([page])).attribution == ""


def test_paragraph_goes_on_across_pages_without_running_head_and_page_number() -> None:
    body = [
        "一行目の文章はここまで続いて",
        "二行目の文章もここまで続いて",
        "三行目の文章もここまで続いて",
    ]
    pages = [
        [
            (50, 580, "業務要領"),
            *((50, 400 - 15 * i, t) for i, t in enumerate(body)),
            (195, 20, f"- {n} -"),
        ]
        for n in range(1, 5)
    ]
    assert read(pdf(pages)).text == "".join(body) * 4


def test_items_of_a_list_stay_on_lines_of_their_own() -> None:
    page = [
        (50, 500, "（１）許可や連絡は必要ない旨を明示すること、また"),
        (50, 485, "（２）他の頁の中に組み込まれる設定はしないことと"),
        (50, 470, "（３）内容を変えるときは前もって知らせることとす"),
    ]
    assert read(pdf([page])).text.count("\n") == 2


def test_lines_of_a_table_of_contents_are_left_out() -> None:
    page = [(50, 500, "１ はじめに.................. 1"), (50, 485, "本文の一行。")]
    assert read(pdf([page])).text == "本文の一行。"


def test_latin_lines_are_joined_with_spaces_and_parted_words_mended() -> None:
    text = join_lines(
        lines(
            "a well-known service con-",
            "trols how a well-",
            "known mesh talks over net\u00ad",
            "works in the office",
            width=150,
        )
    )
    assert (
        text
        == "a well-known service controls how a well-known mesh talks over networks in the office"
    )


def test_columns_side_by_side_are_not_mixed() -> None:
    left = lines("左の段の文は", "ここで終わる", "ことになって", width=60)
    right = lines("右の段の文は", "ここから始ま", "るのである。", left=200, width=60)
    assert join_lines([*left, *right]) == (
        "左の段の文はここで終わることになって右の段の文はここから始まるのである。"
    )


def test_gap_wider_than_between_lines_parts_paragraphs() -> None:
    above = lines("一の行の文章であり", "二の行の文章である", "三の行。")
    below = Line("次の段落。", 0, 50, 440.0, SIZE, SIZE)
    assert join_lines([*above, below]) == (
        "一の行の文章であり二の行の文章である三の行。\n\n次の段落。"
    )


def test_title_comes_from_the_metadata_unless_a_program_made_it_up() -> None:
    page = [(50, 500, "本文。")]
    assert read(pdf([page], "業務の要領")).title == "業務の要領"
    assert read(pdf([page], "Microsoft Word - draft.docx")).title == "要領"


def test_pictures_of_pages_are_refused_with_what_to_do() -> None:
    error = refusal(pdf([[], []]))
    assert error.reason == "no_text"
    assert "OCR" in error.hint


def test_password_and_damage_are_told_apart() -> None:
    assert refusal((DATA / "encrypted.pdf").read_bytes()).reason == "encrypted"
    assert refusal(b"%PDF-1.4\nrubbish").reason == "broken_file"


def test_characters_of_two_halves_are_put_together() -> None:
    assert read(pdf([[(50, 500, "𠮷野家の𠮷。")]])).text == "𠮷野家の𠮷。"


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("実験の要領".encode("cp932").decode("cp1252"), "実験の要領"),
        ("Windows テスト".encode("cp932").decode("cp1252"), "Windows テスト"),
        ("実験の報告", "実験の報告"),
        ("Été à Évry", "Été à Évry"),
        ("L’école d’été", "L’école d’été"),
        ("中国".encode("gb2312").decode("cp1252"), "要領"),
        ("‰ÆŒ±…", "要領"),
        ("実\ufffdの報告", "要領"),
    ],
)
def test_title_in_another_encoding_than_declared_is_mended_or_refused(
    title: str, expected: str
) -> None:
    assert read(pdf([[(50, 500, "本文。")]], title)).title == expected


def test_title_of_bare_bytes_is_mended() -> None:
    whole = pdf([[(50, 500, "本文。")]], "x")
    bare = whole.replace(b"<feff0078>", f"<{'業務の手引き'.encode('cp932').hex()}>".encode())
    assert read(bare).title == "業務の手引き"
    assert read(whole.replace(b"<feff0078>", b"<feffd842>")).title == "要領"


def test_thai_lines_are_joined_without_and_korean_lines_with_a_space() -> None:
    thai = join_lines(lines("กรุงเทพเป็นเมืองหลวงของ", "ประเทศไทยและศูนย์กลาง", width=150))
    assert thai == "กรุงเทพเป็นเมืองหลวงของประเทศไทยและศูนย์กลาง"
    assert join_lines(lines("대한민국의", "수도는 서울", width=150)) == "대한민국의 수도는 서울"
    assert join_lines(lines("ภาษา", "Python ใช้", width=150)) == "ภาษา Python ใช้"


def test_hyphen_that_parts_no_word_stays() -> None:
    assert join_lines(lines("年\x02", "月")) == "年-月"
    (line,) = lines_of(
        [Glyph(c, 10 * i, 10 * i + 10, 0, 10) for i, c in enumerate("年\x02月")], 0, 99
    )
    assert line.text == "年-月"
