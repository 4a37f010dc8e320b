"""``entity_graph`` holds to EntiGraph (2409.07431): list, all pairs, triples, the whole document."""

import contextlib
import json
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages import sentence, texts
from made import passage, reply
from teichaku.backends.scripted import ScriptedModel, scripted_teacher
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Dropped, Example, Passage, Reply, Request, content_id
from teichaku.core.text import normalise
from teichaku.recipes.methods import builtin_angles
from teichaku.synthesis.entities import entity_key, is_named, ranked_pairs, salient_entities
from teichaku.synthesis.entity_graph import EntityGraph, joined_documents
from teichaku.synthesis.method import Made, Subject, UnusableReplyError, synthesize

PROMPTS = PromptPack("ja")
FIRST = "あおば丸は北浜造船が建造した。船体は檜である。檜は北浜造船が選んだ。"
SECOND = "船長は佐伯さんで、みさき港から出る。料金は1,800円。"
ENTITIES = ["あおば丸", "北浜造船", "檜", "佐伯", "みさき港"]
SUMMARY = "あおば丸は、北浜造船が檜で建造し、みさき港から出る船である。"


def unit(index: int = 0) -> Passage:
    text = (FIRST, SECOND)[index]
    return Passage(content_id("d", index), "d", index, "あおば丸", text, "あおば丸.txt")


def graph(documents: dict[str, str] | None = None, **settings: Any) -> EntityGraph:
    return EntityGraph(
        documents or joined_documents([unit(1), unit(0)]), PROMPTS.load("entity_list"),
        PROMPTS.load("entity_relation"), "ja", builtin_angles("ja"), 1, **settings,
    )  # fmt: skip


def listing(entities: list[Any], summary: str = SUMMARY) -> str:
    return json.dumps({"summary": summary, "entities": entities}, ensure_ascii=False)


def after_list(method: EntityGraph, entities: list[Any]) -> list[Made | Request]:
    (first,) = method.requests(unit())
    assert isinstance(first, Request)
    return list(method.parse(Reply(first, listing(entities), "stop", key="k")))


def relations(method: EntityGraph, entities: list[Any] | None = None) -> list[Request]:
    found = after_list(method, ENTITIES if entities is None else entities)
    return [record for record in found if isinstance(record, Request)]


def names(requests: list[Request], style: str) -> list[frozenset[str]]:
    return [frozenset(r.subject.detail) for r in requests if r.subject.style == style]


def test_one_request_a_document_asks_for_summary_and_entities() -> None:
    method = graph()
    assert list(method.requests(unit(1))) == []
    (first,) = method.requests(unit())
    assert isinstance(first, Request)
    assert first.schema is not None
    assert set(first.schema["required"]) == {"summary", "entities"}
    assert first.sampling.temperature == 1.0


def test_the_summary_is_training_text() -> None:
    summary, *_ = after_list(graph(), ENTITIES)
    assert isinstance(summary, Example)
    assert (summary.is_text, summary.answer, summary.style) == (True, SUMMARY, "summary")


@pytest.mark.parametrize("summary", ["x", "要約。", f"{FIRST}\n{SECOND}"])
def test_a_summary_that_is_no_text_is_dropped_and_the_entities_stay(summary: str) -> None:
    (first,) = graph().requests(unit())
    assert isinstance(first, Request)
    fallen, *others = graph().parse(Reply(first, listing(ENTITIES, summary), "stop", key="k"))
    assert isinstance(fallen, Dropped)
    assert (fallen.kind, fallen.reason, fallen.raw) == ("Example", "unusable_summary", summary)
    assert len(others) == 20


def test_an_announcement_before_the_summary_is_taken_off() -> None:
    (first,) = graph().requests(unit())
    assert isinstance(first, Request)
    text = listing(ENTITIES, f"以下は文書の要約です。\n{SUMMARY}")
    (made, *_) = graph().parse(Reply(first, text, "stop", key="k"))
    assert isinstance(made, Example)
    assert made.answer == SUMMARY


def test_all_pairs_come_first_then_triples_in_a_shuffled_order() -> None:
    requests = relations(graph())
    assert [r.subject.style for r in requests] == ["pair"] * 10 + ["triple"] * 10
    assert set(names(requests, "pair")) == {frozenset(p) for p in combinations(ENTITIES, 2)}
    triples = names(requests, "triple")
    assert set(triples) == {frozenset(t) for t in combinations(ENTITIES, 3)}
    assert triples != [frozenset(t) for t in combinations(ENTITIES, 3)]
    assert triples == names(relations(graph()), "triple")


def test_every_request_has_the_whole_document_and_its_title_before_all_that_differs() -> None:
    for request in relations(graph()):
        text = "\n".join(message.content for message in request.messages)
        document, _, asked = text.partition(SECOND)
        assert FIRST in document
        assert asked.count("あおば丸") >= 1
        assert all(name in asked for name in request.subject.detail)
        assert request.sampling.temperature == 1.0


def test_angles_take_turns() -> None:
    angles = builtin_angles("ja")
    asked = [request.messages[-1].content for request in relations(graph())]
    used = [next(angle for angle in angles if angle in text) for text in asked]
    assert set(used[: len(angles)]) == set(angles)
    assert used[: len(angles)] == used[len(angles) : 2 * len(angles)]


def test_caps_and_the_budget_take_the_beginning_of_the_same_order() -> None:
    asked = [request.subject.detail for request in relations(graph())]
    capped = relations(graph(max_pairs=3, max_triples=2))
    assert [r.subject.detail for r in capped] == [*asked[:3], *asked[10:12]]
    budget = relations(graph(tokens_per_document=2500, usual_tokens=400))
    assert [r.subject.detail for r in budget] == asked[:6]
    few = relations(graph(max_entities=2))
    assert len(few) == 1


def test_pairs_that_stand_near_each_other_come_first() -> None:
    pairs = names(relations(graph()), "pair")
    assert pairs[0] == {"北浜造船", "檜"}
    assert pairs.index(frozenset({"北浜造船", "檜"})) < pairs.index(
        frozenset({"あおば丸", "みさき港"})
    )


def test_what_the_document_does_not_name_is_dropped_and_never_asked_about() -> None:
    found = after_list(graph(), [*ENTITIES[:2], "火星", {"name": "檜"}, "", None])
    (fallen,) = [record for record in found if isinstance(record, Dropped)]
    assert (fallen.kind, fallen.reason) == ("Entity", "entity_not_in_document")
    assert "火星" in fallen.evidence
    asked = {name for r in found if isinstance(r, Request) for name in r.subject.detail}
    assert asked == {"あおば丸", "北浜造船", "檜"}


def test_entities_over_the_limit_are_dropped_one_by_one() -> None:
    listed = [*ENTITIES, "佐伯さん", "北浜造船社"]
    found = after_list(graph(max_entities=2), listed)
    fallen = [record for record in found if isinstance(record, Dropped)]
    assert {(drop.kind, drop.reason) for drop in fallen} == {("Entity", "over_limit")}
    kept = {name for r in found if isinstance(r, Request) for name in r.subject.detail}
    assert kept | {drop.raw for drop in fallen} == set(ENTITIES)
    assert len(fallen) == len({drop.record_id for drop in fallen}) == 3


def test_a_name_inside_a_longer_word_is_not_in_the_document() -> None:
    method = graph({"d": "The discussion of the cloak went on. The ferry is old."})
    fallen = [r for r in after_list(method, ["US", "oak", "ferry"]) if isinstance(r, Dropped)]
    assert [drop.raw for drop in fallen if drop.kind == "Entity"] == ["US", "oak"]


def test_the_title_is_an_entity_also_where_the_text_does_not_name_it() -> None:
    method = graph({"d": "北浜造船が建造した。船体は檜である。"})
    asked = {name for r in relations(method, ["あおば丸", "檜"]) for name in r.subject.detail}
    assert asked == {"あおば丸", "檜"}


def test_a_text_about_a_relation_names_what_it_is_about() -> None:
    method = graph()
    request = relations(method)[0]
    text = "あおば丸は北浜造船が建造した、檜の船である。"
    (found,) = method.parse(Reply(request, text, "stop", key="k"))
    assert isinstance(found, Example)
    assert (found.question, found.answer, found.style) == ("", text, "pair")
    for lacking in (
        "海は青く、空は広い。それはとても良いことである。",
        "あおば丸は、檜で造られている船で、定員の決まった遊覧船である。",
        "北浜造船は檜を選び、木の船を建造した造船所として知られている。",
    ):
        with pytest.raises(UnusableReplyError, match="does not name"):
            list(method.parse(Reply(request, lacking, "stop")))


def relation_of(names: dict[str, tuple[str, ...]], title: str, text: str) -> str:
    of = Passage(content_id("d"), "d", 0, title, FIRST, "あおば丸.txt")
    subject = Subject(of, graph(), "relation", "pair", detail=names)
    (made,) = graph().parse(reply(text, subject))
    assert isinstance(made, Example)
    return made.answer


def test_an_entity_may_be_named_by_an_alias_and_the_title_by_a_part_of_it() -> None:
    names = {"北浜造船株式会社": ("北浜造船株式会社", "北浜造船"), "檜": ("檜",)}
    text = "あおば丸の船体には、北浜造船の選んだ檜という木が使われている。"
    for title in ("あおば丸", "あおば丸（AOBA MARU）", "檜の船", ""):
        assert relation_of(names, title, text) == text
    with pytest.raises(UnusableReplyError, match="does not name: みどり丸"):
        relation_of(names, "みどり丸", text)


def test_a_relation_may_use_lines_of_all_that_was_shown_but_not_copy_it() -> None:
    method = graph()
    request = next(r for r in relations(method) if set(r.subject.detail) == {"佐伯", "みさき港"})
    text = f"{SECOND}\nあおば丸は北浜造船の船で、佐伯とみさき港は、この船の船長と港である。"
    (made,) = method.parse(Reply(request, text, "stop", key="k"))
    assert isinstance(made, Example)
    assert made.answer == text
    with pytest.raises(UnusableReplyError, match="copied"):
        list(method.parse(Reply(request, f"{SECOND}\n{FIRST}", "stop")))


@pytest.mark.parametrize("text", ["", "要約です。", '{"summary": "x"}', '{"entities": []}'])
def test_a_list_that_cannot_be_read_is_of_no_use(text: str) -> None:
    (first,) = graph().requests(unit())
    assert isinstance(first, Request)
    with pytest.raises(UnusableReplyError):
        list(graph().parse(Reply(first, text, "stop")))


def test_a_long_document_is_cut_at_a_sentence_and_that_is_told() -> None:
    method = graph({"d": FIRST * 20}, document_characters=100)
    cut, request = method.requests(unit())
    assert isinstance(cut, Dropped)
    assert isinstance(request, Request)
    assert (cut.kind, cut.reason) == ("Document", "document_cut")
    shown = request.messages[-1].content.partition("文書：\n")[2].partition("\n")[0]
    assert shown in FIRST * 20
    assert len(shown) <= 100
    assert shown.endswith("。")


def test_a_document_is_its_passages_in_order() -> None:
    assert joined_documents([unit(1), unit(0), passage()]) == {
        "d": f"{FIRST}\n{SECOND}",
        passage().document_id: passage().text,
    }


def test_one_stream_gives_summary_pairs_and_triples() -> None:
    documents = joined_documents([passage()])
    found = list(synthesize([passage()], [graph(documents)], ScriptedModel(scripted_teacher)))
    styles = [record.style for record in found if isinstance(record, Example)]
    assert [styles.count(style) for style in ("summary", "pair", "triple")] == [1, 6, 4]
    assert all(isinstance(record, Example) and record.is_text for record in found)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("佐伯さん", "佐伯"), ("ｱｵﾊﾞ丸", "アオバ丸"), ("株式会社北浜造船", "北浜造船"), ("㈱北浜", "北浜"),
        ("北浜造船社", "北浜造船"), ("田中氏", "田中"), ("佐伯様", "佐伯さん"), ("北浜(株)", "北浜"), ("PX-20", "ＰＸ－２０"), ("Ada  Byron", "ada byron"),
    ],
)  # fmt: skip
def test_forms_of_one_name_are_one(one: str, other: str) -> None:
    assert entity_key(one) == entity_key(other)


@pytest.mark.parametrize(
    "name",
    ["明治神社", "製品仕様", "縞模様", "ベルサイユ宮殿", "大学教授", "経済学博士", "通信社", "お母さん", "たくさん", "株式会社法"],
)  # fmt: skip
def test_a_word_that_ends_like_a_form_of_address_stays_whole(name: str) -> None:
    assert entity_key(name) == name


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("平凡な船長である。", "平凡社", False),
        ("講談を聞いた。", "講談社", False),
        ("新潮が岸を洗う。", "新潮社", False),
        ("北浜造船が建造した。", "北浜造船社", True),
        ("平凡社が出した。", "平凡社", True),
        ("ソニーが作る。", "ソニー社", True),
        ("平凡な船長である。", "平凡さん", True),
    ],
)
def test_a_short_name_that_ends_like_one_of_a_company_is_named_whole(
    text: str, name: str, expected: bool
) -> None:
    assert is_named(text, name) == expected


def test_a_document_is_read_once_for_all_texts_about_it(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = "".join(f"第{number}の船室には檜の棚がある。" for number in range(300))
    read: list[str] = []

    def counting(text: str) -> str:
        read.append(text)
        return normalise(text)

    monkeypatch.setattr("teichaku.synthesis.running_text.normalise", counting)
    text = "あおば丸は、北浜造船が檜で組み上げた船として、みさきの港に長く親しまれてきた。"
    method = graph({"d": whole})
    for entity in ("檜", "北浜造船", "みさき"):
        subject = Subject(unit(), method, "relation", "pair", detail={entity: (entity,)})
        assert list(method.parse(reply(text, subject)))
    assert len([one for one in read if len(one) >= len(whole)]) <= 2


def test_what_stands_before_a_title_is_not_named_by_it() -> None:
    assert not is_named("山田は経済学を学んだ。", "経済学博士")
    assert is_named("佐伯は船長である。", "佐伯さん")
    assert is_named("Northshore Yard built it.", "株式会社Northshore Yard")


@pytest.mark.parametrize(
    ("listed", "text", "expected"),
    [
        (["PX-20", "小型ポンプPX-20"], "小型ポンプPX-20は軽い。PX-20は青い。", ["小型ポンプPX-20"]),
        (["東京", "東京大学"], "東京に住む。東京大学は遠い。", ["東京", "東京大学"]),
        (["Larkspur", "Ferry Larkspur"], "Ferry Larkspur sails. Larkspur is old.", ["Ferry Larkspur"]),
        (["art", "artist"], "The artist works. Her art sells.", ["artist", "art"]),
        (["US", "oak"], "The discussion of the cloak. The US and oak. The US.", ["US", "oak"]),
        (["日本", "日本銀行"], "日本銀行は銀行である。日本の物価を見る。", ["日本", "日本銀行"]),
        (["日本", "日本銀行"], "日本銀行は銀行である。日本銀行は古い。", ["日本銀行"]),
        (["佐伯", "佐伯教授"], "佐伯教授は船に乗った。佐伯は笑った。", ["佐伯教授"]),
        (["大学", "大学教授"], "大学教授が来た。大学は古い。", ["大学", "大学教授"]),
        (["St. Ives", "Penzance"], "They left Penzance for St. Ives.", ["St. Ives", "Penzance"]),
        (["佐伯さん", "佐伯氏"], "佐伯さんは船長。", ["佐伯さん"]),
        (["檜", "杉", "檜"], "杉と檜。檜は香る。", ["檜", "杉"]),
    ],
)  # fmt: skip
def test_entities_are_put_together_and_ranked_by_mentions(
    listed: list[str], text: str, expected: list[str]
) -> None:
    assert [entity.name for entity in salient_entities(listed, text)] == expected


@given(st.lists(texts, max_size=8), st.lists(sentence, min_size=1).map("".join))
def test_entities_are_in_the_document_and_all_pairs_are_ranked(names: list[str], text: str) -> None:
    found = salient_entities([*names, text[:3], text[-4:]], text)
    forms = [name for entity in found for name in entity.names]
    assert len({entity_key(name) for name in forms}) == len(forms)
    assert all(entity.sentences and is_named(text, entity.name) for entity in found)
    pairs = ranked_pairs(found)
    assert len(pairs) == len(set(pairs)) == len(found) * (len(found) - 1) // 2


@given(texts)
def test_no_reply_breaks_the_parser(text: str) -> None:
    method = graph()
    for step in ("entities", "relation"):
        subject = Subject(unit(), method, step, detail={"あおば丸": ("あおば丸",), "檜": ("檜",)})
        with contextlib.suppress(UnusableReplyError):
            assert list(method.parse(reply(text, subject)))
