"""Prompts of MT-Bench's form say what the file says, for turn and reference."""

import json
import re
from pathlib import Path

import pytest

from languages import SENTENCES
from made import question
from teichaku.core.errors import UserError
from teichaku.core.records import Answer
from teichaku.evaluation.judging.absolute import AbsoluteJudge
from teichaku.evaluation.judging.exchanges import Exchange, Pair
from teichaku.evaluation.judging.fastchat import (
    FastChatNames,
    fastchat_prompt,
    judging_prompts,
    read_fastchat_prompts,
)
from teichaku.evaluation.judging.forms import (
    BRACKETED_VERDICT,
    BRACKETS_1_TO_10,
    JSON_1_TO_10,
    JSON_VERDICT,
)
from teichaku.evaluation.judging.pairwise import PairwiseJudge

FILE = Path(__file__).parent / "data" / "mt_bench_judge_prompts.jsonl"
ENTRIES = read_fastchat_prompts(FILE.read_text(encoding="utf-8"))
SINGLE = FastChatNames(
    "single-v1", "single-math-v1", "single-v1-multi-turn", "single-math-v1-multi-turn"
)
PAIRS = FastChatNames("pair-v2", "pair-math-v1", "pair-v2-multi-turn", "pair-math-v1-multi-turn")
TEXTS = {
    name: f"«{name}» {{question}} {{{{ question }}}} {{% if %}}\n{SENTENCES['th'][0]}"
    for name in ("q1", "q2", "r1", "r2", "a1", "a2", "b1", "b2")
}


def exchange(side: str, turn: int, reference: bool, arm: str = "x") -> Exchange:
    asked = question(
        TEXTS[f"q{turn}"], TEXTS[f"r{turn}"] if reference else "", id=f"q{turn}", passage_id=""
    )
    name = f"{side}{turn}"
    given = Answer(f"{arm}{name}", asked.id, arm, "base", "closed_book", TEXTS[name])
    before = exchange(side, 1, reference, arm) if turn == 2 else None
    return Exchange(asked, given, before=before)


@pytest.mark.parametrize("turn", [1, 2])
@pytest.mark.parametrize("reference", [False, True])
def test_marks_are_asked_for_in_the_words_of_the_file(turn: int, reference: bool) -> None:
    judge = AbsoluteJudge(fastchat_prompt(ENTRIES, SINGLE, "en"), "gpt-4", form=BRACKETS_1_TO_10)
    (request,) = judge.mark_requests([exchange("a", turn, reference)])
    name = f"single{'-math' if reference else ''}-v1{'-multi-turn' if turn == 2 else ''}"
    entry = ENTRIES[name]
    values = {"question": TEXTS["q1"], "answer": TEXTS["a1"], "ref_answer_1": TEXTS["r1"]}
    values |= {"question_1": TEXTS["q1"], "question_2": TEXTS["q2"], "ref_answer_2": TEXTS["r2"]}
    values |= {"answer_1": TEXTS["a1"], "answer_2": TEXTS["a2"]}
    assert [m.content for m in request.messages] == [
        entry["system_prompt"].strip(),
        entry["prompt_template"].format(**values).strip(),
    ]


@pytest.mark.parametrize("turn", [1, 2])
@pytest.mark.parametrize("reference", [False, True])
def test_verdicts_are_asked_for_in_the_words_of_the_file(turn: int, reference: bool) -> None:
    judge = PairwiseJudge(
        fastchat_prompt(ENTRIES, PAIRS, "en"), "gpt-4", form=BRACKETED_VERDICT, orders=1
    )
    pair = Pair(exchange("a", turn, reference), exchange("b", turn, reference, "y"))
    (request,) = judge.requests([pair])
    name = f"pair-{'math-v1' if reference else 'v2'}{'-multi-turn' if turn == 2 else ''}"
    values = {"question": TEXTS["q1"], "answer_a": TEXTS["a1"], "answer_b": TEXTS["b1"]}
    values |= {f"question_{n}": TEXTS[f"q{n}"] for n in (1, 2)}
    values |= {f"ref_answer_{n}": TEXTS[f"r{n}"] for n in (1, 2)}
    values |= {f"answer_{side}_{n}": TEXTS[f"{side}{n}"] for side in "ab" for n in (1, 2)}
    assert [m.content for m in request.messages] == [
        ENTRIES[name]["system_prompt"].strip(),
        ENTRIES[name]["prompt_template"].format(**values).strip(),
    ]


def test_a_file_without_a_prompt_for_the_second_turn_cannot_mark_one() -> None:
    """MT-Bench-ja's Japanese prompts are for one turn; its code never marks the second."""
    prompt = fastchat_prompt(ENTRIES, FastChatNames("single-v1", "single-math-v1"), "ja")
    judge = AbsoluteJudge(prompt, "gpt-4", form=BRACKETS_1_TO_10)
    assert judge.mark_requests([exchange("a", 1, False)])
    with pytest.raises(UserError, match="shows one turn"):
        judge.mark_requests([exchange("a", 2, False)])


def test_a_missing_prompt_or_an_unknown_field_is_a_mistake_of_the_user() -> None:
    with pytest.raises(UserError, match="no judge prompt 'single-v9'"):
        fastchat_prompt(ENTRIES, FastChatNames("single-v9"), "en")
    odd = {"odd": {"system_prompt": "", "prompt_template": "{question} {wisdom}"}}
    with pytest.raises(UserError, match="uses wisdom"):
        fastchat_prompt(odd, FastChatNames("odd"), "en")


def test_markup_of_the_file_is_plain_text() -> None:
    text = "{{ x }} {% y %} {# z #} {question}"
    entries = {"odd": {"system_prompt": "s", "prompt_template": text}}
    prompt = fastchat_prompt(entries, FastChatNames("odd"), "en")
    assert prompt.placeholders == {"question"}
    assert prompt.messages(question="Q")[1].content == "{{ x }} {% y %} {# z #} Q"


@pytest.mark.parametrize(
    "text",
    [
        '{question} 返答は {{"score": 7}} の形で。{answer}',
        '{question} {{"a": {{"score": 7}}}} {{question}} {{{answer}}}',
        "{{{{ question }}}} {{% if answer %}} {{# {question} #}} {answer}{{",
    ],
)
def test_doubled_braces_of_a_template_are_single_ones_for_the_judge(text: str) -> None:
    entries = {"odd": {"system_prompt": 'As {{"it"}} stands', "prompt_template": text}}
    prompt = fastchat_prompt(entries, FastChatNames("odd"), "en")
    assert prompt.placeholders == {"question", "answer"}
    values = {"question": "定員は？", "answer": "{{ 48 }}"}
    assert [message.content for message in prompt.messages(**values)] == [
        'As {{"it"}} stands',
        text.format(**values),
    ]


def test_a_brace_before_the_other_wording_is_plain_text() -> None:
    plain, other = "{question} {answer} {{", "{question} {answer} {ref_answer_1} {{"
    entries = {
        name: {"system_prompt": "s", "prompt_template": text}
        for name, text in (("plain", plain), ("other", other))
    }
    prompt = fastchat_prompt(entries, FastChatNames("plain", "other"), "en")
    values = {"question": "Q", "answer": "A"}
    assert prompt.messages(**values, reference="")[1].content == "Q A {"
    assert prompt.messages(**values, reference="R")[1].content == "Q A R {"


def write_prompts(folder: Path, *entries: dict[str, str]) -> Path:
    path = folder / "prompts.jsonl"
    path.write_text("\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries), "utf-8")
    return path


def entry(name: str, kind: str, text: str) -> dict[str, str]:
    return {"name": name, "type": kind, "system_prompt": "", "prompt_template": text}


def test_a_whole_file_becomes_the_same_prompts_as_by_name() -> None:
    found = judging_prompts(FILE, "en")
    assert found.single is not None and found.pairwise is not None
    assert found.single.prompt == fastchat_prompt(ENTRIES, SINGLE, "en")
    assert found.pairwise.prompt == fastchat_prompt(ENTRIES, PAIRS, "en")
    assert (found.single.form, found.pairwise.form) == (BRACKETS_1_TO_10, BRACKETED_VERDICT)
    assert found.single.shows_turns and found.pairwise.shows_turns


def test_what_a_prompt_asks_for_decides_how_its_reply_is_read(tmp_path: Path) -> None:
    mark = entry("m", "single", '{question} {answer} 返答は {"score": 7} の形で。')
    better = entry("b", "pairwise", '{question} {answer_a} {answer_b} {"better": "A"}')
    found = judging_prompts(write_prompts(tmp_path, mark, better), "ja")
    assert found.single is not None and found.pairwise is not None
    assert (found.single.form, found.pairwise.form) == (JSON_1_TO_10, JSON_VERDICT)
    assert not found.single.shows_turns
    wide = entry("m", "single", "{question} {answer} 評価：［［5］］")
    alone = judging_prompts(write_prompts(tmp_path, wide), "ja")
    assert alone.single is not None and alone.single.form == BRACKETS_1_TO_10
    assert alone.pairwise is None


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([], "has no prompt to judge by"),
        ([entry("x", "triple", "{question}")], "has no prompt to judge by"),
        ([{"name": "x", "type": "single"}], "cannot be read as judge prompts"),
        ([entry("x", "single", "{question} {answer}")], "'x' asks for nothing that can be read"),
        (
            [entry(name, "single", "{question} {answer} [[5]]") for name in "xy"],
            "'x' and 'y' are for the same",
        ),
        (
            [
                entry("x", "single", "{question} {answer} [[5]]"),
                entry("y", "single", '{question} {ref_answer_1} {answer} "score": 5'),
            ],
            "in different forms",
        ),
        (
            [entry("x", "single", "{question} {ref_answer_1} {answer} [[5]]")],
            "'x' shows a reference, and there is none for the rest",
        ),
        (
            [entry("x", "pairwise", "{question_1} {question_2} {answer_a_2} {answer_b_2} [[A]]")],
            "'x' is for a second turn, and there is none for the first",
        ),
        ([entry("x", "single", "{question} {wisdom} [[5]]")], "uses wisdom"),
    ],
)
def test_a_file_that_nobody_can_be_judged_by_is_refused(
    tmp_path: Path, entries: list[dict[str, str]], told: str
) -> None:
    with pytest.raises(UserError, match=re.escape(told)) as raised:
        judging_prompts(write_prompts(tmp_path, *entries), "ja")
    assert "prompts.jsonl" in raised.value.message
    assert raised.value.hint


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read as judge prompts"):
        judging_prompts(tmp_path / "none.jsonl", "ja")
