from made import example, passage
from teichaku.backends.scripted import ScriptedModel, scripted_teacher
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Example, Fact
from teichaku.synthesis.coverage import assign_facts, coverage_table
from teichaku.synthesis.fact_listing import FactListing
from teichaku.synthesis.facts import Facts
from teichaku.synthesis.gaps import fill_gaps
from teichaku.synthesis.method import synthesize

PROMPTS = PromptPack("ja")


def method(texts: int = 2, qa_per_fact: int = 1) -> Facts:
    listing = FactListing(PROMPTS.load("fact_listing"), "ja")
    prompts = PROMPTS.load("fact_text"), PROMPTS.load("fact_questions")
    return Facts(listing, *prompts, "ja", 1, texts, qa_per_fact)


def facts(count: int = 3) -> list[Fact]:
    unit = passage()
    return [
        Fact(f"f{index}", unit.document_id, unit.id, index, f"あおば丸の第{index}の事実。")
        for index in range(count)
    ]


def stating(**counts: int) -> list[Example]:
    return [
        example(f"{name}の{number}？", "x", fact_ids=(name,))
        for name, count in counts.items()
        for number in range(count)
    ]


def test_only_facts_below_the_goal_are_asked_for_and_for_what_they_lack() -> None:
    gaps = fill_gaps(method(texts=0), stating(f0=5, f1=3), facts(), 5)
    asked = {
        request.subject.facts[0].id: (request.schema or {})["properties"]["pairs"]["maxItems"]
        for request in gaps.requests(passage())
    }
    assert asked == {"f1": 2, "f2": 5}


def test_texts_and_pairs_share_what_is_lacking() -> None:
    gaps = fill_gaps(method(), stating(f0=5, f1=3), facts(), 5)
    requests = list(gaps.requests(passage()))
    texts = [r for r in requests if r.subject.step == "text"]
    pairs = [r for r in requests if r.subject.step == "questions"]
    assert [{fact.id for fact in r.subject.facts} for r in texts] == [{"f1", "f2"}, {"f2"}]
    assert [r.subject.facts[0].id for r in pairs] == ["f1", "f2"]
    assert [(r.schema or {})["properties"]["pairs"]["maxItems"] for r in pairs] == [1, 3]
    only_texts = fill_gaps(method(qa_per_fact=0), stating(f0=5, f1=3), facts(), 5)
    assert [len(r.subject.facts) for r in only_texts.requests(passage())] == [2, 2, 1, 1, 1]


def test_where_nothing_lacks_nothing_is_asked() -> None:
    gaps = fill_gaps(method(), stating(f0=5, f1=6, f2=9), facts(), 5)
    assert gaps.lacking == {}
    assert list(gaps.requests(passage())) == []
    other = fill_gaps(method(), [], facts(), 5)
    assert list(other.requests(passage("別の文書。", "別"))) == []


def test_no_round_asks_what_was_asked_before() -> None:
    own = method(texts=3)
    (listing,) = own.requests(passage())
    seen = list(listing.subject.detail(passage(), tuple(facts())))
    for round_number in (1, 2, 3):
        seen += fill_gaps(own, [], facts(), 5, round_number).requests(passage())
    keys = {(request.messages, request.sampling.seed, request.sample_index) for request in seen}
    assert len(keys) == len(seen)
    texts = [request.sample_index for request in seen if request.subject.step == "text"]
    assert texts == sorted(set(texts))
    assert len(texts) == 3 + 3 * 2


def test_the_teacher_sees_the_questions_that_there_are_in_a_fixed_order() -> None:
    made = stating(f0=3)
    (one, *_) = fill_gaps(method(0), made, facts(), 5).requests(passage())
    (other, *_) = fill_gaps(method(0), made[::-1], facts()[::-1], 5).requests(passage())
    assert one == other
    assert all(found.question in one.messages[-1].content for found in made)


def test_round_after_round_every_fact_reaches_the_goal_and_then_it_stops() -> None:
    own, goal = method(texts=1, qa_per_fact=0), 4
    found = list(synthesize([passage()], [own], ScriptedModel(scripted_teacher)))
    known = [record for record in found if isinstance(record, Fact)]
    made = [record for record in found if isinstance(record, Example)]
    rounds = 0
    while True:
        made = list(assign_facts(made, known))
        gaps = fill_gaps(method(texts=1), made, known, goal, rounds + 1)
        if not gaps.lacking:
            break
        rounds += 1
        assert rounds <= 3
        further = synthesize([passage()], [gaps], ScriptedModel(scripted_teacher))
        made += [record for record in further if isinstance(record, Example)]
    table = coverage_table(made, known)
    assert rounds
    assert table.unstated == ()
    assert [table.total.facts_by_statements[name] for name in ("0", "1")] == [0, 0]
    assert {example.method for example in made} == {"facts"}
