import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages import natural_text, sentence, texts
from teichaku.core import replies
from teichaku.core.replies import (
    ListItem,
    json_objects,
    labelled_parts,
    last_json_object,
    list_item,
    list_items,
    text_value,
    visible_text,
    without_thinking,
    yes_or_no,
)
from teichaku.core.text import comparable

objects = st.dictionaries(texts, st.one_of(texts, st.integers(), st.none()), min_size=1, max_size=4)


@given(objects, texts.filter(lambda t: "{" not in t and "<" not in t))
def test_an_object_is_found_whatever_stands_around_it(value: dict[str, object], noise: str) -> None:
    written = json.dumps(value, ensure_ascii=False)
    assert value in list(json_objects(f"{noise}```json\n{written}\n```{noise}"))


def test_inner_objects_of_a_cut_off_list_are_found() -> None:
    cut = '{"pairs": [{"question": "名前は？", "answer": "守破離"}, {"question": "値段'
    assert list(json_objects(cut)) == [{"question": "名前は？", "answer": "守破離"}]


@pytest.mark.parametrize(
    "reply",
    [
        '{"pairs":' + "[" * 2000,
        '{"a":' * 3000,
        '{"number": ' + "9" * 5000 + "}",
        '{"a": "' * 3 + "cut",
    ],
)
def test_what_cannot_be_read_leaves_the_rest_of_the_reply(reply: str) -> None:
    assert list(json_objects('{"answer": "前"}' + reply)) == [{"answer": "前"}]
    assert list(json_objects('{"pairs": [{"answer": "前"}, ' + reply)) == [{"answer": "前"}]


@pytest.mark.parametrize("piece", ['{"a":', "あ{\n", '{"', '{"a":[{"b":1},'])
def test_a_reply_of_nothing_but_brackets_is_given_up_in_time(
    monkeypatch: pytest.MonkeyPatch, piece: str
) -> None:
    decode, calls = replies._DECODER.raw_decode, list[int]()

    def counted(text: str, position: int) -> object:
        calls.append(position)
        return decode(text, position)

    monkeypatch.setattr(replies._DECODER, "raw_decode", counted)
    list(json_objects(piece * (50_000 // len(piece))))
    assert len(calls) <= 6400


@pytest.mark.parametrize(
    ("written", "visible"),
    [
        ("答え", "答え"),
        ("  kept as it is \n", "  kept as it is \n"),
        ("<think>1 < 2\n…</think>\n\n答え", "答え"),
        ("\n<THINK>…</Think>答え", "答え"),
        ("<think></think>\n<thinking>a</thinking>答え", "答え"),
        ("opened by the template</think>答え", "答え"),
        ("答<think>b</think>え", "答<think>b</think>え"),
        ('{"answer": "<think> は始まり"}', '{"answer": "<think> は始まり"}'),
        ('```json\n{"answer": "</think>"}\n```', '```json\n{"answer": "</think>"}\n```'),
        ("<think>cut off by the limit", "<think>cut off by the limit"),
        ("<think>no reply after it</think>\n", "<think>no reply after it</think>\n"),
    ],
)
def test_thinking_at_the_start_is_left_out_where_a_reply_follows(
    written: str, visible: str
) -> None:
    assert visible_text(written) == visible


def test_nothing_is_read_out_of_thinking() -> None:
    reply = '<think>{"score": 3} かな</think>{"score": 8}'
    assert last_json_object(reply, ["score"]) == {"score": 8}
    assert list(json_objects('<think>{"score": 3} まだ')) == []
    assert without_thinking("<think>まだ考えている") == ""


def test_a_tag_inside_a_value_is_text() -> None:
    value = {"question": "<think> とは？", "answer": "思考の印 </think>"}
    assert list(json_objects(json.dumps(value, ensure_ascii=False))) == [value]


def test_the_last_object_with_the_keys_counts() -> None:
    assert last_json_object('{"score": 1} {"score": 9} {"other": 2}', ["score"]) == {"score": 9}
    assert last_json_object("点数は9", ["score"]) is None


@pytest.mark.parametrize(
    ("value", "expected"), [(" a ", "a"), (7, "7"), (7.5, "7.5"), (None, ""), (True, ""), ([1], "")]
)
def test_scalars_become_text(value: object, expected: str) -> None:
    assert text_value(value) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (r'"a\ud83d"', "a\ufffd"),
        (r'"\ude00\ud83d b"', "\ufffd\ufffd b"),
        (r'"\ud83d\ude00 😀"', "😀 😀"),
    ],
)
def test_half_a_character_is_replaced_and_whole_ones_are_kept(written: str, expected: str) -> None:
    found = text_value(json.loads(written))
    assert found == expected
    assert found.encode("utf-8")


@pytest.mark.parametrize(
    ("line", "mark", "number", "text"),
    [
        ("9. 甲をせよ", "number", 9, "甲をせよ"),
        ("  １０．乙", "number", 10, "乙"),
        ("11） 丙", "number", 11, "丙"),
        ("（2）丁", "number", 2, "丁"),
        ("③戊", "number", 3, "戊"),
        ("120: a fact", "number", 120, "a fact"),
        ("**4. all of it bold**", "number", 4, "all of it bold"),
        ("**4.** **bold** first", "number", 4, "**bold** first"),
        ("## 5. a heading", "heading", 5, "a heading"),
        ("### a heading", "heading", None, "a heading"),
        ("- one", "bullet", None, "one"),
        ("-注意", "bullet", None, "注意"),
        ("・項目", "bullet", None, "項目"),
        ("* one", "bullet", None, "one"),
        ("7.", "number", 7, ""),
    ],
)
def test_a_line_with_the_mark_of_a_list_begins_an_item(
    line: str, mark: str, number: int | None, text: str
) -> None:
    assert list_item(line) == ListItem(mark, text, number)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "line",
    ["10:30発の電車", "16：00に始まります。", "48.5 km", "-5℃", "---", "**太字**の語", "2024. year",
     "甲をせよ", "", "#"],
)  # fmt: skip
def test_times_figures_and_rules_begin_no_item(line: str) -> None:
    assert list_item(line) is None


@pytest.mark.parametrize(
    "line", ["9.3人で遊べる案を出してください。", "**9．3人で遊べる案を。**", "9.3 facts"]
)
def test_a_dot_before_a_digit_is_a_mark_only_of_the_number_that_comes_next(line: str) -> None:
    found = list_item(line, (9,))
    assert found is not None
    assert (found.number, found.text[0]) == (9, "3")
    assert list_item(line, (10,)) is None
    assert list_item(line) is None


def test_items_come_one_after_another() -> None:
    lines = [
        "1.1987年に造られた。",
        "2.48人が乗れる。",
        "48.5トンである。",
        "3:30発",
        "3.5本の櫂。",
    ]
    found = [item.number if item else None for item in list_items(lines)]
    assert found == [1, 2, None, None, 3]


@given(texts)
def test_no_line_breaks_the_reader_of_lists(line: str) -> None:
    found = list_item(line)
    assert found is None or found.text in line


LABELS = {"question": ("質問", "問", "Q", "Question"), "answer": ("答え", "A", "Answer")}


@given(
    st.lists(st.tuples(sentence, sentence), min_size=1, max_size=5),
    st.sampled_from(["質問：{}\n答え：{}", "Q: {}\nA: {}", "**Question 1:** {}\n\n**Answer:** {}"]),
    st.sampled_from(["\n", "\n\n"]),
)
def test_lines_that_name_their_parts_are_read_in_any_language(
    pairs: list[tuple[str, str]], form: str, between: str
) -> None:
    text = between.join(form.format(*pair) for pair in pairs)
    found = list(labelled_parts(f"以下のとおりです。\n\n{text}\n\n以上です。", LABELS))
    assert found == [{"question": question, "answer": answer} for question, answer in pairs]


@pytest.mark.parametrize(
    "text",
    [
        "1. 質問1：定員は？\n   答え：48人",
        "- **質問：** 定員は？\n- **答え：** 48人",
        "**質問：定員は？**\n答え：48人",
        "質問：定員は？　答え：48人",
        "### 質問１：定員は？\n\n答え：\n48人",
        "<think>質問：建造は？</think>質問：定員は？ 答え：48人",
        "- **質問：定員は？**\n- a：48人",
    ],
)
def test_marks_beside_a_label_are_no_part_of_the_text(text: str) -> None:
    assert list(labelled_parts(text, LABELS)) == [{"question": "定員は？", "answer": "48人"}]


def test_a_part_goes_on_in_the_lines_below_it_up_to_an_empty_one() -> None:
    text = "Q: What is told?\nA: First this,\nthen that.\n\nI hope this helps!"
    whole = {"question": "What is told?", "answer": "First this,\nthen that."}
    assert list(labelled_parts(text, LABELS)) == [whole]


def test_a_list_behind_an_empty_line_belongs_to_its_part() -> None:
    text = "質問：点検は？\n答え：次の二つです。\n\n- 始業前\n- 終業後\n\n以上です。"
    assert list(labelled_parts(text, LABELS)) == [
        {"question": "点検は？", "answer": "次の二つです。\n- 始業前\n- 終業後"}
    ]


def test_a_label_inside_of_a_text_that_has_its_part_already_is_text() -> None:
    text = "Q: Is it so? A: or B: which one?\nA: Yes."
    assert list(labelled_parts(text, LABELS)) == [
        {"question": "Is it so? A: or B: which one?", "answer": "Yes."}
    ]


@given(texts)
def test_whatever_is_written_its_parts_are_stretches_of_it(text: str) -> None:
    for group in labelled_parts(text, LABELS):
        assert group.keys() <= LABELS.keys()
        assert all(line in text for part in group.values() for line in part.split("\n"))


def test_text_without_labels_has_no_parts() -> None:
    for text in ("申し訳ありません。", '{"question": "定員", "answer": "48人"}', "At 10:30: tea"):
        assert list(labelled_parts(text, LABELS)) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("true", True),
        (" False.\n", False),
        ("```\ntrue\n```", True),
        ("はい。", True),
        ("「いいえ」", False),
        ("**Yes**", True),
        ("<think>no</think>yes", True),
        ("はい、いいえ", None),
        ("not true", None),
        ("", None),
    ],
)
def test_a_bare_word_is_read_as_true_or_false(text: str, said: bool | None) -> None:
    assert yes_or_no(text) is said


@given(natural_text.filter(comparable))
def test_sentences_are_neither_yes_nor_no(text: str) -> None:
    assert yes_or_no(text) is None
    assert yes_or_no(f"はい。{text}") is None
