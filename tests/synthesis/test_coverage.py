from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages import SENTENCES, sentence, texts
from made import example, passage
from teichaku.core.records import Example, Fact, content_id
from teichaku.core.text import comparable, numbers
from teichaku.synthesis.coverage import assign_facts, coverage_table

BOAT = (
    "あおば丸の定員は48人である。",
    "あおば丸は1987年に建造された。",
    "あおば丸の船体は檜でできている。",
    "あおば丸の船長は佐伯である。",
)
FERRY = (
    "Ferry Larkspur carries up to 48 people.",
    "Ferry Larkspur was built in 1987.",
    "The hull of Ferry Larkspur is made of oak.",
    "The captain of Ferry Larkspur is Violet Northwood.",
)


def facts(statements: tuple[str, ...] = BOAT, document: str = "") -> list[Fact]:
    document = document or passage().document_id
    return [
        Fact(content_id(document, text), document, passage().id, index, text)
        for index, text in enumerate(statements)
    ]


def states(one: Example, known: list[Fact]) -> tuple[str, ...]:
    (found,) = assign_facts([one], known)
    return found.fact_ids


def stated(question: str, answer: str, statements: tuple[str, ...] = BOAT) -> list[int]:
    """Which facts, by their places, an example states that was asked for none of them."""
    known = facts(statements)
    found = states(example(question, answer), known)
    return [known.index(fact) for fact in known if fact.id in found]


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        ("あおば丸の定員は何人ですか。", "48人", [0]),
        ("あおば丸の定員は何人ですか。", "148人", []),
        ("あおば丸の定員は何人ですか。", "４８名", [0]),
        ("あおば丸が建造されたのは？", "1987年", [1]),
        ("あおば丸の船体は何でできていますか。", "檜", [2]),
        ("あおば丸の船体は何でできていますか。", "杉", []),
        ("あおば丸の船体は檜でできていますか。", "はい", [2]),
        ("", "檜で船体を組んだあおば丸は1987年に建造され、佐伯船長のもと48人の定員で出る。", [0, 1, 2, 3]),
        ("", "あおば丸は青い海を進む。", []),
        ("あおば丸の料金はいくらですか。", "1,800円", []),
    ],
)  # fmt: skip
def test_a_fact_is_stated_where_its_numbers_and_its_own_words_are(
    question: str, answer: str, expected: list[int]
) -> None:
    assert stated(question, answer) == expected


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        ("How many people can Ferry Larkspur carry?", "up to 48 people", [0]),
        ("How many people can Ferry Larkspur carry?", "up to 148 people", []),
        ("In which year was Ferry Larkspur built?", "1987", [1]),
        ("What is the hull of Ferry Larkspur made of?", "oak", [2]),
        ("Who is the captain of Ferry Larkspur?", "Violet Northwood", [3]),
        ("", "Ferry Larkspur, whose hull is of oak, was built in 1987.", [1, 2]),
        ("", "Ferry Larkspur is a boat that people like.", []),
    ],
)
def test_it_holds_in_english(question: str, answer: str, expected: list[int]) -> None:
    assert stated(question, answer, FERRY) == expected


def test_what_all_facts_share_says_nothing_about_one_of_them() -> None:
    title = "拠点防衛ロールプレイングゲーム"
    statements = tuple(
        f"{title}の{key}である。" for key in ("素材は紙", "価格は1800円", "作者は林")
    )
    assert stated(f"{title}の価格は？", "1800円", statements) == [1]


def test_less_is_enough_for_a_fact_that_was_asked_for() -> None:
    known = facts(FERRY)
    loose = example("Who steers Ferry Larkspur?", "Northwood")
    asked = replace(loose, fact_ids=tuple(fact.id for fact in known))
    assert states(loose, known) == ()
    assert states(asked, known) == (known[3].id,)


def test_a_number_that_lacks_is_never_forgiven() -> None:
    known = facts()
    asked = example("あおば丸の定員は？", "148人", fact_ids=(known[0].id,))
    assert states(asked, known) == ()


def test_an_example_states_facts_of_its_own_document_alone() -> None:
    known = [*facts(), *facts(document="other")]
    (found,) = assign_facts([example("あおば丸の定員は？", "48人")], known)
    assert found.fact_ids == (known[0].id,)
    (none,) = assign_facts([example("あおば丸の定員は？", "48人", document_id="")], known)
    assert none.fact_ids == ()


def test_a_text_about_a_document_may_state_facts_of_every_passage() -> None:
    far = replace(facts()[1], id="far", passage_id="another passage")
    (found,) = assign_facts([example("", "あおば丸の建造は1987年。")], [facts()[0], far])
    assert found.fact_ids == ("far",)


each_statement = st.sampled_from([text for group in SENTENCES.values() for text in group])


@given(st.lists(each_statement, min_size=1, max_size=6, unique=True), st.data())
def test_who_says_a_fact_word_for_word_states_it(
    statements: list[str], data: st.DataObject
) -> None:
    known = facts(tuple(statements))
    fact = data.draw(st.sampled_from(known))
    around = data.draw(sentence)
    whole = example("", f"{around}\n{fact.statement}\n{around}")
    assert fact.id in states(whole, known)


@given(st.lists(texts, min_size=1, max_size=5), texts, texts)
def test_what_is_stated_has_all_numbers_and_does_not_depend_on_the_order(
    statements: list[str], question: str, answer: str
) -> None:
    known = list({fact.id: fact for fact in facts(tuple(statements))}.values())
    one = example(question, answer)
    found = states(one, known)
    assert set(states(one, known[::-1])) == set(found)
    whole = f"{question}\n{answer}"
    for fact in known:
        if fact.id in found and comparable(fact.statement) not in comparable(whole):
            assert set(numbers(fact.statement)) <= set(numbers(whole))


@given(st.lists(st.tuples(sentence, sentence), max_size=5))
def test_to_assign_facts_twice_changes_nothing(pairs: list[tuple[str, str]]) -> None:
    known = facts(tuple(dict.fromkeys(text for group in SENTENCES.values() for text in group)))
    once = list(assign_facts([example(q, a) for q, a in pairs], known))
    assert list(assign_facts(once, known)) == once


def statements(counts: dict[int, int], method: str = "facts") -> list[Example]:
    """Examples that state the fact at each place so many times."""
    known = facts()
    return [
        example(f"{method}{place}-{number}？", "x", method=method, fact_ids=(known[place].id,))
        for place, count in counts.items()
        for number in range(count)
    ]


def test_the_table_counts_facts_by_how_often_they_are_stated() -> None:
    made = [*statements({0: 1, 1: 4, 2: 11}), *statements({0: 6}, "reverse")]
    table = coverage_table(made, facts())
    assert table.facts == 4
    assert table.total.facts_by_statements == {"0": 1, "1": 0, "2-5": 1, "6-10": 1, "11+": 1}
    assert (table.total.statements, table.total.examples, table.total.share) == (22, 22, 0.75)
    assert table.unstated == (facts()[3].id,)
    by_method = {row.method: row.facts_by_statements for row in table.methods}
    assert by_method == {
        "facts": {"0": 1, "1": 1, "2-5": 1, "6-10": 0, "11+": 1},
        "reverse": {"0": 3, "1": 0, "2-5": 0, "6-10": 1, "11+": 0},
    }


def test_the_table_does_not_depend_on_the_order_and_may_be_of_nothing() -> None:
    made = [*statements({0: 1, 1: 4}), *statements({3: 2}, "reverse")]
    assert coverage_table(made, facts()) == coverage_table(made[::-1], facts()[::-1])
    empty = coverage_table([], facts())
    assert (empty.total.share, len(empty.unstated), empty.methods) == (0.0, 4, ())
    assert coverage_table(made, []).total.share == 0.0
