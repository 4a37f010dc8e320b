"""What curation notes of the diversity of its examples."""

import made
from teichaku.curation.personal_data.masking import PersonalData
from teichaku.recipes.curation_notes import diversity_notes, shown_before

SAME = [made.example(f"定員は何人ですか{'？' * n}", "48人") for n in range(8)]
OTHERS = [
    made.example(question, answer)
    for question, answer in (
        ("建造された年は？", "1987年"),
        ("船体の材料は？", "檜"),
        ("Who built the boat?", "A shipyard in Ise"),
        ("เรือลำนี้ราคาเท่าไร", "1,800 บาท"),
    )
]


def test_what_is_said_once_instead_of_many_times_is_more_diverse_by_every_figure() -> None:
    notes = diversity_notes([*SAME, OTHERS[0]], [SAME[0], *OTHERS])
    before, after = notes["before"], notes["after"]
    assert before["texts"] == after["texts"] == 5
    assert after["distinct_ngrams"] > before["distinct_ngrams"]
    assert after["self_overlap"] < before["self_overlap"]
    assert after["mean_distance"] > before["mean_distance"]
    assert after["vendi_score"] > before["vendi_score"]


def test_the_order_of_examples_changes_nothing_and_one_example_has_no_distance() -> None:
    assert diversity_notes(SAME, OTHERS) == diversity_notes(SAME[::-1], OTHERS[::-1])
    assert diversity_notes(SAME, OTHERS[:1])["after"]["mean_distance"] is None


def test_what_had_personal_data_is_not_shown_as_it_came_in() -> None:
    private = made.example("船長の連絡先は？", "taro@aoba-ferry.jp です。")
    ids = {example.id for example in OTHERS}
    assert shown_before([private, *OTHERS], []) == {}
    for given in ([private, *OTHERS], [private] * 3 + OTHERS[::-1]):
        assert set(shown_before(given, [PersonalData()])["shown_before"]) == ids
