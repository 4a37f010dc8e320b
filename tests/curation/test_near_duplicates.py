"""Pairs are found, verified and guarded; who stays is the best, whatever the order."""

import pickle
import tracemalloc
from collections import Counter
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from languages import SENTENCES, texts
from made import example, passage
from teichaku.core.records import Dropped, Example
from teichaku.core.text import character_ngrams, comparable
from teichaku.curation import candidates, near_duplicates, same_thing, shard_steps
from teichaku.curation.candidates import Candidates, band_width
from teichaku.curation.near_duplicates import (
    NearDuplicates,
    NearPairs,
    first,
    longest,
    near_pairs,
    wording_at,
)
from teichaku.curation.sketches import BINS, SKETCH, joined, sketch
from teichaku.curation.text_store import TextList, Texts, TextStore

LETTERS = "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわ"


def pairs_of(values: list[str], floor: float = 0.6, **options: object) -> NearPairs:
    return near_pairs(sketch(values, floor), TextList(values), floor, **options)  # type: ignore[arg-type]


def as_dict(found: NearPairs) -> dict[tuple[int, int], float]:
    return {
        (min(left, right), max(left, right)): similarity
        for left, right, similarity in zip(
            found.left.tolist(), found.right.tolist(), found.similarity.tolist(), strict=True
        )
    }


def similarity(left: str, right: str) -> float:
    """By sets, as the definition has it."""
    one, other = comparable(left), comparable(right)
    size = 3 if min(len(one), len(other)) < 60 else 5
    ours, theirs = character_ngrams(one, size), character_ngrams(other, size)
    return len(ours & theirs) / len(ours | theirs)


def written(random: Random, length: int) -> str:
    return "".join(random.choices(LETTERS, k=length))


def edited(random: Random, text: str, edits: int) -> str:
    letters = list(text)
    for place in random.sample(range(len(letters)), edits):
        letters[place] = random.choice([letter for letter in LETTERS if letter != letters[place]])
    return "".join(letters)


@pytest.mark.parametrize("length", [14, 25, 45, 58, 62, 70, 95, 300, 1200])
def test_every_pair_is_found_with_its_similarity(length: int) -> None:
    random = Random(length)
    values = []
    for _ in range(60):
        values.append(written(random, length))
        values.append(edited(random, values[-1], max(1, length // 50)))
        # Across the limit between the sizes of shingles.
        values.append(values[-2][: length - 4])
    found = as_dict(pairs_of(values, guard=False))
    expected = {
        (3 * group + i, 3 * group + j): similarity(values[3 * group + i], values[3 * group + j])
        for group in range(60)
        for i, j in combinations(range(3), 2)
    }
    near = {pair: value for pair, value in expected.items() if value >= 0.65}
    assert len(near) > 20
    assert {pair: round(value, 12) for pair, value in near.items()}.items() <= {
        pair: round(value, 12) for pair, value in found.items()
    }.items()
    assert all(value >= 0.6 for value in found.values())


@given(st.lists(st.one_of(texts, st.text("🍣🍺!。 ", max_size=3)), max_size=8))
@settings(max_examples=60)
def test_what_is_found_is_true_in_all_scripts(values: list[str]) -> None:
    found = pairs_of(values)
    for (left, right), value in as_dict(found).items():
        one, other = comparable(values[left]), comparable(values[right])
        assert value == 1.0 if one == other else abs(value - similarity(one, other)) < 1e-9
    # The same are always found.
    groups: dict[str, list[int]] = {}
    for place, text in enumerate(values):
        form = f"{comparable(text)}\n{same_thing.marks_key(text)}"
        groups.setdefault(form if comparable(text) else f"={text.strip()}", []).append(place)
    exact = {
        (left, right)
        for left, right, same in zip(
            found.left.tolist(), found.right.tolist(), found.is_exact.tolist(), strict=True
        )
        if same
    }
    for form, group in groups.items():
        if not form.startswith("="):
            assert {(group[0], other) for other in group[1:]} <= exact


def test_texts_of_marks_alone_are_the_same_only_where_the_marks_are() -> None:
    assert list(as_dict(pairs_of(["🍣", "🍺", "🍣", "", "！", "!"]))) == [(0, 2), (4, 5)]


def test_one_character_short_texts_and_thai() -> None:
    values = ["はい", "いい", "はい。", "ราคา 1,800 บาท", "ราคา 1,900 บาท"]
    found = pairs_of(values, 0.3)
    assert as_dict(found)[0, 2] == 1.0
    assert (0, 1) not in as_dict(found)
    assert (
        found.differs[list(zip(found.left, found.right, strict=True)).index((3, 4))]
        == "1800 / 1900"
    )


def test_blocks_that_are_sketched_apart_give_the_same_rows() -> None:
    random = Random(1)
    values = [written(random, random.choice([5, 30, 80, 300])) for _ in range(300)]
    whole = sketch(values, 0.6)
    parts = [(sketch(values[start : start + 130], 0.6), len(values[start : start + 130]))
             for start in range(0, 600, 130)]  # fmt: skip
    assert np.array_equal(np.sort(joined(parts), order="record"), np.sort(whole, order="record"))
    assert SKETCH.itemsize <= 300
    assert np.array_equal(pickle.loads(pickle.dumps(whole)), whole)


def test_a_store_on_disk_gives_what_a_list_gives(tmp_path: Path) -> None:
    values = [*(s for group in SENTENCES.values() for s in group), "", "\ud800", "🍣"]
    store = TextStore(tmp_path / "texts")
    store.append(values[:5])
    store.append(values[5:])
    rows = [4, 0, len(values) - 1, len(values) - 2]
    assert store.read(rows) == TextList(values).read(rows)
    assert pickle.loads(pickle.dumps(store)).read([1]) == [values[1]]
    assert len(store) == len(values)
    store.close()


@pytest.mark.parametrize("floor", [0.5, 0.6, 0.7, 0.8, 0.9])
def test_a_pair_at_the_floor_is_almost_surely_a_candidate(floor: float) -> None:
    """Pairs just at the floor, of many lengths: one in a thousand may be missed."""
    width = band_width(floor)
    assert 1 - (1 - floor**width) ** (BINS // width) >= 0.999
    random, missed, tried = Random(0), 0, 0
    for length in (40, 300):
        values = []
        size = 3 if length < 60 else 5
        shared = round(2 * floor / (1 + floor) * (length - size + 1)) + size
        for _ in range(150):
            values.append(written(random, length))
            values.append(values[-1][:shared] + written(random, length - shared))
        rows = sketch(values, floor)
        own = rows[: len(values)] if length < 60 else rows
        left, right = Candidates(
            np.ascontiguousarray(own["bins"]), np.zeros(len(own), np.uint64), floor
        ).pairs()
        found = set(zip(left.tolist(), right.tolist(), strict=True))
        tried += 150
        missed += sum((place, place + 1) not in found for place in range(0, 300, 2))
    assert missed <= tried // 100


def kept_of(filtered: Iterable[Example | Dropped]) -> tuple[set[str], dict[str, Dropped]]:
    records = list(filtered)
    fallen = {record.record_id: record for record in records if isinstance(record, Dropped)}
    return {record.id for record in records if isinstance(record, Example)}, fallen


LONG = "遊覧船あおば丸の定員と、一九八七年に造られたときからの船体の材料について説明してください。"
FILTER = NearDuplicates({"question": 0.8, "pair": 0.8, "text": 0.8})


def test_who_falls_names_the_one_that_stays_and_how_alike_they_are() -> None:
    one = example(LONG, "定員は48人で、船体は檜です。", id="1")
    other = example(LONG.replace("ください", "下さい"), "檜です。", id="2")
    kept, fallen = kept_of(FILTER([other, one]))
    assert kept == {"1"}
    assert fallen["2"].reason == "near_duplicate"
    assert "like 1 by question" in fallen["2"].evidence
    assert LONG in fallen["2"].evidence
    same, fallen = kept_of(FILTER([one, example(f"{LONG}！", "別。", id="0")]))
    assert (same, fallen["0"].reason) == ({"1"}, "duplicate")


def test_the_rank_decides_who_stays() -> None:
    pair = [example(LONG, "48人", id="1"), example(LONG, "定員は48人です。", id="2")]
    assert kept_of(FILTER(pair))[0] == {"2"}
    assert kept_of(NearDuplicates({"question": 0.8}, rank=first)(pair))[0] == {"1"}
    scores = {"1": 0.9, "2": None}
    by_score = NearDuplicates({"question": 0.8}, rank=lambda e: scores[e.id])
    assert kept_of(by_score(pair))[0] == {"1"}
    assert longest(pair[1]) > longest(pair[0])


def test_a_question_to_another_document_is_another_question() -> None:
    boat = passage("名称：小舟", "小舟")
    pair = [example(LONG, "48人", id="1"), example(LONG, "五名までなら乗れる。", boat, id="2")]
    assert kept_of(FILTER(pair))[0] == {"1", "2"}
    again = [pair[0], example(LONG, "48人", boat, id="2")]
    assert len(kept_of(FILTER(again))[0]) == 1


def test_clauses_and_names_stay_and_are_noted_with_what_differs() -> None:
    values = [LONG.replace("あおば丸", "第12条"), LONG.replace("あおば丸", "第13条")]
    pair = [example(value, "答えです。", id=str(n)) for n, value in enumerate(values)]
    guarded = NearDuplicates({"question": 0.8})
    assert kept_of(guarded(pair))[0] == {"0", "1"}
    known = guarded.compare(pair).pairs
    assert [(p.left_id, p.right_id, p.differs) for p in known] == [("0", "1", "12 / 13")]
    assert len(kept_of(NearDuplicates({"question": 0.8}, guard=False)(pair))[0]) == 1


def test_dakuten_and_clauses_tell_two_texts_apart() -> None:
    # Without voiced marks and digits, as some tools compare, these two are the same text.
    student = "がくせい割引は第12条、ガイドは2,500円です。"
    waking = "かくせい割引は第13条、カイドは3,900円です。"
    pair = [example("", text, id=str(n)) for n, text in enumerate((student, waking))]
    for guard in (True, False):
        assert kept_of(NearDuplicates({"text": 0.8}, guard=guard)(pair))[0] == {"0", "1"}
    # Where the marks alone differ they are alike, and not the same.
    bare = student.replace("が", "か").replace("ガ", "カ")
    found = pairs_of([student, bare, student], 0.3)
    assert as_dict(found)[0, 1] == pytest.approx(similarity(student, bare))
    assert as_dict(found)[0, 1] < 0.8
    alike = zip(found.left.tolist(), found.right.tolist(), found.is_exact.tolist(), strict=True)
    assert [(left, right) for left, right, same in alike if same] == [(0, 2)]
    assert kept_of(FILTER([example("", "がき", id="1"), example("", "かき", id="2")]))[0] == {
        "1",
        "2",
    }


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("検査の結果は○でした", "検査の結果は×でした"),
        ("条件は x < 5 です", "条件は x > 5 です"),
        ("残高－300円", "残高300円"),
        ("気温±5度", "気温5度"),
        ("評価は👍です", "評価は👎です"),
        ("プランAの料金", "プランBの料金"),
        ("京都に出張する", "東京に出張する"),
        ("在北京的办事处", "在上海的办事处"),
        ("ที่ภูเก็ต เปิดทุกวัน", "ที่พัทยา เปิดทุกวัน"),
    ],
)
def test_signs_symbols_and_bare_names_stay_though_they_are_alike(one: str, other: str) -> None:
    examples = [
        example("", f"{part}。{LONG}", id=str(number))
        for number, part in enumerate((one, other, one))
    ]
    kept, fallen = kept_of(FILTER(examples))
    assert (kept, fallen["2"].reason) == ({"0", "1"}, "duplicate")
    assert len(kept_of(NearDuplicates({"text": 0.7}, guard=False)(examples))[0]) == 1


def test_a_decoration_alone_keeps_nobody() -> None:
    values = [f"{LONG}✨", LONG, f"{LONG}🎉"]
    examples = [example("", value, id=str(number)) for number, value in enumerate(values)]
    kept, fallen = kept_of(NearDuplicates({"text": 0.8}, rank=first)(examples))
    # Two decorations that stand for each other are told apart.
    assert (kept, list(fallen)) == ({"0", "2"}, ["1"])


@given(
    st.lists(
        st.sampled_from([f"{LONG}{end}" for end in ("", "○", "×", "－5度", "5度")]), max_size=9
    ),
    st.booleans(),
)
def test_the_same_are_those_of_the_same_signs_and_symbols(values: list[str], guard: bool) -> None:
    found = pairs_of(values, guard=guard)
    same = {(left, right) for left, right, is_same in
            zip(found.left.tolist(), found.right.tolist(), found.is_exact.tolist(), strict=True)
            if is_same}  # fmt: skip
    forms = [value if guard else comparable(value) for value in values]
    assert same == {(forms.index(form), place) for place, form in enumerate(forms)
                    if forms.index(form) < place}  # fmt: skip


def test_running_text_is_compared_with_running_text() -> None:
    text = example("", LONG, id="1")
    assert wording_at(text, "text") == LONG
    assert wording_at(text, "answer") is None
    asked = example(LONG, LONG, id="3")
    assert wording_at(asked, "text") is None
    assert kept_of(FILTER([text, example("", f"{LONG} ", id="2"), asked]))[0] == {"2", "3"}


@given(st.permutations([example(f"問{n % 3}：{LONG}", f"{n}人", id=str(n)) for n in range(6)]))
@settings(max_examples=20)
def test_the_order_of_the_input_changes_nothing(examples: list[Example]) -> None:
    found = list(FILTER(examples))
    assert found == list(FILTER(sorted(examples, key=lambda e: e.id)))
    assert len(found) == 6


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str]]:
    """How often each pair of texts is compared, and how often the guard is asked about it."""
    counted: Counter[tuple[str, str]] = Counter()
    by_shingles, by_guard = near_duplicates.jaccard, same_thing.difference

    def compared(texts: Texts, left: np.ndarray, right: np.ndarray, size: int) -> np.ndarray:
        sides = (texts.read(side.tolist()) for side in (left, right))
        counted.update(("compared", f"{a}/{b}") for a, b in zip(*sides, strict=True))
        return by_shingles(texts, left, right, size)

    def guarded(left: str, right: str) -> str:
        counted["guarded", f"{left}/{right}"] += 1
        return by_guard(left, right)

    monkeypatch.setattr(near_duplicates, "jaccard", compared)
    monkeypatch.setattr(near_duplicates, "difference", guarded)
    return counted


def forms(count: int) -> tuple[list[Example], list[Example]]:
    """Forms filled in: some with another number each, and some that are all nearly the same."""
    form = (
        "お申し込みの受付番号は{}番です。番号は窓口でお伝えください。ご不明な点は係にお尋ねください。"
        * 2
    )
    random = Random(0)
    numbered = [example("", form.format(n, n), id=f"n{n:04}") for n in range(count)]
    base = written(random, 200)
    return numbered, [example("", edited(random, base, 2), id=f"s{n:04}") for n in range(count)]


def test_boilerplate_is_compared_in_no_quadratic_time(asked: Counter[tuple[str, str]]) -> None:
    sizes = []
    for count in (300, 600):
        asked.clear()
        numbered, alike = forms(count)
        kept_of(FILTER([*numbered, *alike]))
        sizes.append(asked.total())
    assert sizes[0] > 300
    assert sizes[1] < 3 * sizes[0]


def test_rows_of_a_template_are_compared_once_however_often_they_are_looked_at(
    asked: Counter[tuple[str, str]],
) -> None:
    random = Random(0)
    base = written(random, 120)
    names = ["".join(random.choices("アイウエオカキクケコサシスセソ", k=5)) for _ in range(60)]
    rows = [example("", f"{base[:60]}{name}{base[60:]}", id=name) for name in names]
    assert len(kept_of(FILTER(rows))[0]) > 50
    assert set(asked.values()) == {1}
    asked.clear()
    step = shard_steps.NearDuplicates(FILTER.thresholds)
    step.decide(step.sketch(rows, None))
    assert set(asked.values()) == {1}


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40)), min_size=8, max_size=40),
    st.sampled_from([0.7, 0.8, 0.85, 0.9]),
    st.randoms(),
)
@settings(max_examples=40, deadline=None)
def test_where_few_pairs_are_formed_at_a_time_nobody_falls_wrongly_and_no_crowd_stays(
    drawn: list[tuple[int, int]], threshold: float, random: Random
) -> None:
    bases = [written(Random(number), 80) for number in range(3)]
    values = [f"{bases[of][:place]}を{bases[of][place + 1 :]}" for of, place in drawn]
    rows = [example("", value, id=f"{place:02}") for place, value in enumerate(values)]
    scores = {row.id: random.random() for row in rows}
    apply = NearDuplicates({"text": threshold}, rank=lambda e: scores[e.id], guard=False)
    by_all = kept_of(apply(rows))[0]
    with pytest.MonkeyPatch.context() as patch:
        for name, few in (("_LARGE", 4), ("_FIRST", 2), ("_PARTNERS", 2)):
            patch.setattr(candidates, name, few)
        kept, fallen = kept_of(apply(rows))
    text = {row.id: row.answer for row in rows}
    for name, record in fallen.items():
        witness = record.evidence.split()[2]
        assert witness in kept
        assert scores[witness] >= scores[name]
        assert similarity(text[name], text[witness]) >= threshold
    # At .7 all that have a base in common are duplicates; above, a row may be like some alone,
    # and where these are not the best of its crowd they may not meet.
    assert threshold > 0.7 or kept == by_all


def test_what_is_compared_lies_in_a_mapped_file_and_is_not_copied(tmp_path: Path) -> None:
    random = Random(0)
    letters = [chr(0x4E00 + number) for number in range(3000)]
    values = ["".join(random.choices(letters, k=70)) for _ in range(3000)]
    np.save(tmp_path / "sketch.npy", sketch(values, 0.8))
    rows = np.load(tmp_path / "sketch.npy", mmap_mode="r")
    tracemalloc.start()
    found = near_pairs(rows, TextList(values), 0.8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.left) == 0
    assert peak < len(rows) * SKETCH.itemsize


def test_boilerplate_loses_nobody_to_a_row_that_stays() -> None:
    numbered, alike = forms(300)
    kept, fallen = kept_of(FILTER([*numbered, *alike]))
    assert {e.id for e in numbered} <= kept
    stay = [e for e in alike if e.id in kept]
    # Among letters by chance there may be a ない.
    assert all(
        similarity(a.answer, b.answer) < 0.8 or same_thing.difference(a.answer, b.answer)
        for a, b in combinations(stay, 2)
    )
    assert len(stay) < 40
    assert all(record.evidence.split()[2] in kept for record in fallen.values())
