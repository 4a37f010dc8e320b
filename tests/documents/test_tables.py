import json

import pytest

from teichaku.documents.content import Columns, Content, LoadingError
from teichaku.documents.tables import flatten, read_delimited, read_json, read_json_lines

SHOPS = '店名,住所,営業時間\r\nみなと食堂,本町1-2,"11:00～14:00\r\n17:00～21:00"\r\n駅前茶屋,,9:00～17:00\r\n'


def rows(text: str, columns: Columns = Columns(), name: str = "shops.csv") -> list[Content]:  # noqa: B008
    found = list(read_delimited(text.encode(), name, columns))
    assert all(isinstance(row, Content) for row in found)
    return [row for row in found if isinstance(row, Content)]


def objects(value: object, columns: Columns = Columns()) -> list[Content | LoadingError]:  # noqa: B008
    return list(read_json(json.dumps(value).encode(), "a.json", columns))


def texts(found: list[Content | LoadingError]) -> list[str]:
    return [row.text for row in found if isinstance(row, Content)]


def test_row_is_a_document_of_its_filled_cells() -> None:
    first, second = rows(SHOPS)
    assert first.text == "店名: みなと食堂\n住所: 本町1-2\n営業時間: 11:00～14:00\n17:00～21:00"
    assert (first.title, first.row) == ("みなと食堂", 1)
    assert second.text == "店名: 駅前茶屋\n営業時間: 9:00～17:00"
    assert (second.title, second.row) == ("駅前茶屋", 2)


def test_named_columns_say_what_is_what() -> None:
    table = "見出し,要旨,頁,条件,日\nA,要旨の文。,https://example.org/1,CC BY 4.0,2025-03-10\n"
    columns = Columns(text=("要旨",), title="見出し", source="頁", licence="条件", date="日")
    (row,) = rows(table, columns)
    assert (row.text, row.title) == ("要旨の文。", "A")
    assert (row.source, row.licence) == ("https://example.org/1", "CC BY 4.0")
    assert row.date == "2025-03-10"


@pytest.mark.parametrize(
    ("columns", "attribution"),
    [
        (Columns(), "山田花子"),
        (Columns(text=("要旨",)), "山田花子"),
        (Columns(attribution="出典"), "統計書"),
        (Columns(title="著者"), "統計書"),
        (Columns(title="著者", source="出典"), ""),
    ],
)
def test_whom_to_name_is_guessed_where_the_recipe_does_not_say(
    columns: Columns, attribution: str
) -> None:
    (row,) = rows("要旨,著者,出典\nA,山田花子,統計書\n", columns)
    assert row.attribution == attribution
    assert ("著者: 山田花子" in row.text) == (not columns.text)


def test_authors_of_objects_are_named_one_after_the_other() -> None:
    names = [{"name": "山田花子"}, {"name": "John Smith"}]
    for authors in (names, [one["name"] for one in names]):
        (row,) = objects([{"text": "本文", "authors": authors}])
        assert isinstance(row, Content)
        assert row.attribution == "山田花子, John Smith"


def test_several_text_columns_keep_their_names_in_the_order_of_the_recipe() -> None:
    (first, _) = rows(SHOPS, Columns(text=("住所", "店名")))
    assert first.text == "住所: 本町1-2\n店名: みなと食堂"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_found(delimiter: str) -> None:
    table = '名称,説明\nA,"一行目、\n二行目"\nB,"a;b|c"\n'.replace(",", delimiter)
    assert [row.title for row in rows(table)] == ["A", "B"]


def test_table_of_one_column_has_no_delimiter() -> None:
    assert [row.text for row in rows("文\n一つ目。\n二つ目。\n")] == [
        "文: 一つ目。",
        "文: 二つ目。",
    ]


def test_unnamed_and_repeated_columns_get_names_of_their_own() -> None:
    (row,) = rows("名称,,名称\nA,b,c\n")
    assert row.text == "名称: A\ncolumn 2: b\n名称 (3): c"


def test_rows_longer_or_shorter_than_the_heading_lose_nothing() -> None:
    long, short, _, _ = rows("名称,値\nA,1,余り\nB\nC,3\nD,4\n")
    assert long.text == "名称: A\n値: 1\ncolumn 3: 余り"
    assert short.text == "名称: B"


def test_cells_may_be_very_long() -> None:
    (row,) = rows("本文\n" + "あ" * 200_000 + "\n", Columns(text=("本文",)))
    assert len(row.text) == 200_000


def test_missing_column_names_the_columns_that_are_there() -> None:
    with pytest.raises(LoadingError, match="店名, 住所, 営業時間") as caught:
        rows(SHOPS, Columns(text=("要旨",)))
    assert caught.value.reason == "no_such_column"


@pytest.mark.parametrize(
    "value",
    [
        [{"文": "一"}, {"文": "二"}],
        {"version": 1, "data": [{"文": "一"}, {"文": "二"}]},
        {"A1": {"文": "一"}, "A2": {"文": "二"}},
    ],
)
def test_json_gives_one_document_an_object(value: object) -> None:
    assert texts(objects(value)) == ["文: 一", "文: 二"]


def test_single_json_object_is_one_document() -> None:
    assert texts(objects({"title": "題", "文": "一"})) == ["title: 題\n文: 一"]


def test_dotted_keys_reach_into_objects_and_lists() -> None:
    item = {
        "meta": {"url": "u"},
        "paragraphs": [{"context": "一"}, {"context": "二"}],
        "tags": [1, 2],
    }
    assert flatten(item) == {"meta.url": "u", "paragraphs.context": "一\n二", "tags": "1, 2"}
    (row,) = objects([item], Columns(text=("paragraphs.context",), source="meta.url"))
    assert isinstance(row, Content)
    assert (row.text, row.source) == ("一\n二", "u")


def test_numbers_keep_their_spelling() -> None:
    (row,) = read_json(
        b'[{"price": 1.10, "code": 100000000000000000001, "on": true}]', "", Columns()
    )
    assert isinstance(row, Content)
    assert row.text == "price: 1.10\ncode: 100000000000000000001\non: true"


def test_bad_line_of_json_lines_is_told_by_its_number_and_the_rest_goes_on() -> None:
    data = '{"text": "一"}\n\n{"text": \n[1]\n{"text": "二"}\n'.encode()
    found = list(read_json_lines(data, "a.jsonl", Columns(text=("text",))))
    assert [(row.row, row.text) for row in found if isinstance(row, Content)] == [
        (1, "一"),
        (5, "二"),
    ]
    bad = [(row.row, row.reason) for row in found if isinstance(row, LoadingError)]
    assert bad == [(3, "bad_row"), (4, "bad_row")]


def test_key_that_no_object_has_is_missing_but_one_that_some_have_is_not() -> None:
    value = [{"text": "一"}, {"title": "題"}]
    assert texts(objects(value, Columns(text=("text",)))) == ["一", ""]
    with pytest.raises(LoadingError, match="text, title"):
        objects(value, Columns(text=("body",)))


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a": 1}}'])
def test_broken_json_is_refused(text: str) -> None:
    with pytest.raises(LoadingError) as caught:
        list(read_json(text.encode(), "a.json", Columns()))
    assert caught.value.reason == "broken_file"


@pytest.mark.parametrize(
    "value",
    [
        {"title": "規約", "text": "土壌を守る。", "authors": [{"name": "山田"}]},
        {"name": "みなと食堂", "menus": [{"name": "刺身"}]},
        {"要旨": "土壌を守る。" * 20, "authors": [{"name": "山田"}]},
    ],
)
def test_object_that_says_something_itself_is_one_document(value: dict[str, object]) -> None:
    (text,) = texts(objects(value))
    assert text.startswith(f"{next(iter(value))}: ")
    assert text.endswith(".name: 山田") or text.endswith(".name: 刺身")


def test_named_columns_say_whether_an_object_or_its_list_is_meant() -> None:
    value = {"title": "規約", "text": "本文", "notes": [{"text": "注"}]}
    assert texts(objects(value, Columns(text=("text",), title="title"))) == ["本文"]
    assert texts(objects({"title": "注", "notes": [{"text": "一"}]}, Columns(text=("text",)))) == [
        "一"
    ]


def test_list_with_a_name_for_all_there_is_is_unwrapped() -> None:
    value = {"type": "FeatureCollection", "name": "公園", "features": [{"番号": 1}]}
    assert texts(objects(value)) == ["番号: 1"]


def test_objects_of_a_list_stay_apart() -> None:
    value = {"店": "茶屋", "items": [{"name": "A"}, {"name": "B", "price": 200}], "席": 8}
    expected = "店: 茶屋\n席: 8\n\nitems.name: A\n\nitems.name: B\nitems.price: 200"
    assert texts(objects([value])) == [expected]
    chosen = Columns(text=("items.price", "items.name", "店"))
    expected = "items.price: 200\nitems.name: B\n\nitems.name: A\n\n店: 茶屋"
    assert texts(objects([value], chosen)) == [expected]


def test_nan_is_null() -> None:
    assert texts(objects([{"名": "A", "値": float("nan")}])) == ["名: A"]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_quote_that_is_never_closed_is_told_with_its_line(name: str) -> None:
    table = '名称,値\n"A\nA",1\nB,"2\nC,3\n'.replace(",", "\t" if name == "a.tsv" else ",")
    with pytest.raises(LoadingError, match="line 4") as caught:
        rows(table, name=name)
    assert caught.value.reason == "broken_file"


@pytest.mark.parametrize("last", ["C\t3", 'C\t"3'])
def test_quotes_between_tabs_may_be_plain_characters(last: str) -> None:
    found = rows(f'名称\t値\nA\t1\nB\t"2\n{last}\n', name="a.tsv")
    assert [row.title for row in found] == ["A", "B", "C"]


def test_quotes_around_whole_cells_between_tabs_are_taken_off() -> None:
    (row,) = rows('名称\t値\n"A"\t"一行目\n二行目"\n', name="a.tsv")
    assert row.text == "名称: A\n値: 一行目\n二行目"
