"""Questions that the documents cannot answer, and the proof that they cannot."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from languages import SENTENCES, texts
from made import passage, question
from teichaku.backends.scripted import ScriptedError, ScriptedModel
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Dropped, Passage, Question, Request
from teichaku.core.run_folder import read_records, write_records
from teichaku.core.text import comparable, contains
from teichaku.evaluation.retrieval import PassageIndex
from teichaku.evaluation.unanswerable import AnswerableCheck, EntitySwaps, Swap, pieces

BOAT = passage("遊覧船あおば丸は1987年に建造された。定員は48人。船体は檜。", "遊覧船あおば丸")
SHIP = passage("貨物船みなと丸は2001年に建造された。積荷は石炭。船体は鋼。", "貨物船みなと丸")
INN = passage("旅館しらさぎは源泉かけ流し。部屋は12室。", "旅館しらさぎ")
RUN = [BOAT, SHIP, INN]
CAPACITY = question("遊覧船あおば丸の定員は何人ですか。", "48人", BOAT, category="quantification")
BUILT = question("遊覧船あおば丸はいつ建造されましたか。", "1987年", BOAT)


def made(run: list[Passage], asked: Question) -> tuple[Question, Swap]:
    (found,) = EntitySwaps(run).make([asked])
    assert not isinstance(found, Dropped), found
    return found


def fallen(run: list[Passage], asked: Question) -> Dropped:
    (found,) = EntitySwaps(run).make([asked])
    assert isinstance(found, Dropped), found
    return found


def test_the_name_is_swapped_with_that_of_the_document_most_like_its_own() -> None:
    unanswerable, swap = made(RUN, CAPACITY)
    assert unanswerable.question == "貨物船みなと丸の定員は何人ですか。"
    assert (unanswerable.kind, unanswerable.reference) == ("unanswerable", "")
    assert (unanswerable.passage_id, unanswerable.category) == (BOAT.id, "quantification")
    assert (swap.question_id, swap.source_id) == (unanswerable.id, CAPACITY.id)
    assert (swap.name, swap.replacement) == ("遊覧船あおば丸", "貨物船みなと丸")
    assert (swap.replacement_document_id, swap.share) == (SHIP.document_id, 0.0)


def test_a_name_whose_own_document_tells_the_same_is_passed_over() -> None:
    unanswerable, _ = made(RUN, BUILT)
    assert unanswerable.question == "旅館しらさぎはいつ建造されましたか。"


def test_where_every_name_may_be_answered_there_is_no_such_question() -> None:
    found = fallen([BOAT, SHIP], BUILT)
    assert (found.reason, found.evidence) == ("answered_elsewhere", SHIP.id)
    assert fallen([BOAT], CAPACITY).reason == "answered_elsewhere"


def test_a_third_document_that_tells_it_of_the_new_name_is_found_too() -> None:
    guide = passage("港の案内。貨物船みなと丸の定員は9人である。", "港の案内")
    unanswerable, _ = made([*RUN, guide], CAPACITY)
    assert "みなと丸" not in unanswerable.question


def test_what_another_passage_of_the_new_names_document_tells_is_seen_too() -> None:
    further = passage(
        "総トン数は499。定員は9人である。", "貨物船みなと丸（続き）", SHIP.document_id
    )
    unanswerable, _ = made([*RUN, further], CAPACITY)
    assert "みなと丸" not in unanswerable.question


def test_a_question_without_a_passage_makes_none() -> None:
    assert (
        fallen(RUN, question("遊覧船あおば丸の定員は？", "48人", passage_id="")).reason
        == "no_passage"
    )


def test_a_name_that_the_questions_own_document_mentions_is_not_taken() -> None:
    beside = passage(
        "しらさぎの桟橋から出る。旅館しらさぎの客は割引。", BOAT.title, BOAT.document_id
    )
    unanswerable, _ = made([BOAT, beside, INN, SHIP], CAPACITY)
    assert "しらさぎ" not in unanswerable.question
    assert fallen([BOAT, beside, INN], CAPACITY).reason == "answered_elsewhere"


def test_no_passage_of_the_run_holds_both_the_new_name_and_the_asked_thing() -> None:
    for asked in (CAPACITY, BUILT):
        _, swap = made(RUN, asked)
        thing = {"定員", "建造"} & {asked.question[8:10], asked.question[10:12]}
        for of in RUN:
            text = comparable(of.title + of.text)
            assert not (comparable(swap.replacement) in text and any(t in text for t in thing))


@pytest.mark.parametrize(
    ("wording", "title", "reason"),
    [
        ("定員は何人ですか。", BOAT.title, "no_name"),
        ("資料の定員は何人ですか。", "資料", "no_name"),
        ("遊覧船あおば丸に乗れるのは？", BOAT.title, "not_in_words_of_passage"),
    ],
)
def test_a_question_without_a_name_or_a_thing_of_its_passage_makes_none(
    wording: str, title: str, reason: str
) -> None:
    of = passage("定員は48人。", title)
    others = [INN, passage("休業日は火曜。", title, document="other")] if title == "資料" else [INN]
    assert fallen([of, *others], question(wording, "48人", of)).reason == reason


def test_a_name_is_swapped_with_one_of_the_same_script() -> None:
    boat = passage(
        "Built in 1987, it carries 48 people. 定員は48人。", "遊覧船あおば丸 / Ferry Larkspur"
    )
    inn = passage("12 rooms, open all year. 部屋は12室。", "旅館しらさぎ / Heron Inn")
    english = question("How many people does Ferry Larkspur carry?", "48", boat)
    japanese = question("遊覧船あおば丸の定員は？", "48", boat)
    assert made([boat, inn], english)[0].question == "How many people does Heron Inn carry?"
    assert made([boat, inn], japanese)[0].question == "旅館しらさぎの定員は？"
    assert fallen([boat, INN], english).reason == "answered_elsewhere"


@pytest.mark.parametrize(
    ("boat", "inn", "asked", "swapped"),
    [
        (("游船青叶号定员48人，1987年建造。", "游船青叶号"), ("白鹭旅馆有12间客房。", "白鹭旅馆"),
         "游船青叶号的定员是多少？", "白鹭旅馆的定员是多少？"),
        (("เรืออาโอบะจุคนได้ 48 คน", "เรืออาโอบะ"), ("โรงแรมนกกระสามีห้องพัก 12 ห้อง", "โรงแรมนกกระสา"),
         "เรืออาโอบะจุคนได้เท่าไร", "โรงแรมนกกระสาจุคนได้เท่าไร"),
        (("It carries 48 people.", "Ferry Larkspur"), ("It has 12 rooms.", "Heron Inn"),
         "How many people does Ferry Larkspur carry?", "How many people does Heron Inn carry?"),
    ],
)  # fmt: skip
def test_other_languages(
    boat: tuple[str, str], inn: tuple[str, str], asked: str, swapped: str
) -> None:
    source = passage(*boat)
    found, _ = made([source, passage(*inn)], question(asked, "48", source))
    assert found.question == swapped


def test_the_same_thing_in_another_form_of_the_word_is_seen() -> None:
    boat = passage("Designer: A. Moss. Price: 3 pounds.", "Ferry Larkspur")
    inn = passage("Designer: B. Reed. Rooms: 12.", "Heron Inn")
    designed = question("Who designed Ferry Larkspur?", "A. Moss", boat)
    price = question("What is the price of Ferry Larkspur?", "3 pounds", boat)
    assert fallen([boat, inn], designed).reason == "answered_elsewhere"
    assert made([boat, inn], price)[0].question == "What is the price of Heron Inn?"


@given(texts)
def test_any_text_has_pieces_of_two_or_four_characters(text: str) -> None:
    assert {len(piece) for piece in pieces(text)} <= {2, 4}
    assert pieces(text) == pieces(f" {text}。")


def test_grammar_is_no_piece() -> None:
    assert pieces("のはですか") == frozenset()
    assert pieces("定員は") == {"定員", "員は"}
    assert pieces("Who?") == frozenset()
    assert pieces("price") == {"pric", "rice"}


def test_the_question_keeps_its_looks() -> None:
    wide = passage("定員は４８人。", "遊覧船ＡＯＢＡ")
    for name in ("遊覧船ＡＯＢＡ", "遊覧船AOBA"):
        found, _ = made([wide, INN], question(f"「{name}」の定員は，何人？", "48人", wide))
        assert found.question == "「旅館しらさぎ」の定員は，何人？"


def test_the_order_of_the_passages_changes_nothing() -> None:
    assert list(EntitySwaps(RUN).make([CAPACITY, BUILT])) == list(
        EntitySwaps(RUN[::-1]).make([CAPACITY, BUILT])
    )


class _Plain(EntitySwaps):
    """Looks at every text and every title, each time."""

    def _names_another(self, name: str, document: str) -> bool:
        return any(p.document_id != document and contains(p.title, name) for p in self._passages)

    def _nearest(self, place: int, name: str) -> np.ndarray:
        (scores,) = self._index.scores([self._texts[place].replace(name, " ")])
        return np.argsort(-scores, kind="stable")

    def _spoken(self, asked: frozenset[str], place: int) -> frozenset[str]:
        return asked & pieces(self._texts[place])

    def _naming(self, name: str) -> list[int]:
        return [i for i, text in enumerate(self._texts) if comparable(name) in comparable(text)]


def board_games() -> tuple[list[Passage], list[Question]]:
    folder = Path(__file__).parents[2] / "examples" / "board-games" / "documents"
    run, asked = [], []
    for file in sorted(folder.glob("*.md")):
        head, text = file.read_text("utf-8").removeprefix("---").split("---", 1)
        title = head.strip().partition("title: ")[2].splitlines()[0]
        of = passage(text, title, file.stem)
        run.append(of)
        keys = [line.partition("：")[0] for line in text.splitlines() if "：" in line]
        asked += [question(f"「{title}」の{key}は何ですか。", "", of) for key in keys]
    return run, asked


def drawn(seed: int) -> tuple[list[Passage], list[Question]]:
    """Documents whose names are parts of each other, in several languages and scripts."""
    chance = random.Random(seed)
    words = [
        "船",
        "AB",
        "Heron",
        "Inn",
        "あおば",
        "丸",
        "みなと",
        "号",
        "白鹭",
        "旅馆",
        "นก",
        "C++",
        "10",
    ]
    said = [sentence for many in SENTENCES.values() for sentence in many]
    run, asked = [], []
    for number in range(30):
        title = chance.choice(["", " ", " / "]).join(
            chance.choices(words, k=chance.choice([1, 2, 3]))
        )
        for part in range(2):
            text = "".join(chance.choices([*said, *words], k=4)) + str(part)
            run.append(passage(text, title, str(number)))
        rests = chance.choices([*said, "の定員は？", "'s price?"], k=4)
        asked += [question(title + rest, "", run[-1]) for rest in rests]
    return run, asked


@pytest.mark.parametrize("data", [board_games(), *map(drawn, range(6))])
def test_looking_things_up_finds_what_going_through_all_texts_finds(
    data: tuple[list[Passage], list[Question]],
) -> None:
    run, asked = data
    found = list(EntitySwaps(run).make(asked))
    assert found == list(_Plain(run).make(asked))
    assert any(not isinstance(one, Dropped) for one in found)


def test_the_order_of_the_questions_changes_nothing() -> None:
    run, asked = drawn(0)
    there, back = EntitySwaps(run).make(asked), EntitySwaps(run).make(asked[::-1])
    assert list(there) == list(back)[::-1]


def test_swaps_come_back_from_a_file(tmp_path: Path) -> None:
    swaps = [made(RUN, asked)[1] for asked in (CAPACITY, BUILT)]
    write_records(tmp_path / "swaps.parquet", Swap, swaps)
    assert list(read_records(tmp_path / "swaps.parquet", Swap)) == swaps


CHECK = AnswerableCheck(PromptPack("ja").load("unanswerable_check"), PassageIndex(RUN))


def checked(reply: str | None, again: bool = False) -> Question | Dropped:
    def script(request: Request) -> str:
        if reply is None:
            raise ScriptedError("down")
        return reply

    unanswerable, _ = made(RUN, CAPACITY)
    pack = PromptPack("ja")
    check = AnswerableCheck(
        CHECK.prompt, CHECK.index, again=pack.load("ask_again") if again else None
    )
    (found,) = check.keep([unanswerable], ScriptedModel(script))
    return found


def test_a_model_looks_again_in_the_passages_that_come_closest() -> None:
    unanswerable, _ = made(RUN, CAPACITY)
    (request,) = CHECK.requests([unanswerable])
    shown = request.messages[-1].content
    assert SHIP.text in shown
    assert shown.endswith(unanswerable.question)


def test_what_the_model_finds_an_answer_to_is_dropped_with_its_reason() -> None:
    kept = checked('{"explanation": "定員は書かれていない", "answerable": false}')
    assert isinstance(kept, Question)
    lost = checked('{"explanation": "「定員は9人」とある", "answerable": true}')
    assert isinstance(lost, Dropped)
    assert (lost.reason, lost.evidence) == ("answerable", "「定員は9人」とある")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [("分かりません", "unparseable_reply"), (json.dumps({"answerable": "no"}), "unparseable_reply"),
     (None, "request_failed")],
)  # fmt: skip
def test_what_the_model_does_not_confirm_is_not_kept(reply: str | None, reason: str) -> None:
    for again in (False, True):
        lost = checked(reply, again)
        assert isinstance(lost, Dropped)
        assert lost.reason == reason
