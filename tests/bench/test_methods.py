"""The bench of the methods on two passages and the scripted teacher."""

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from studies import DOCUMENTS
from teichaku.backends.scripted import ScriptedModel
from teichaku.core.records import Example, Fact, Message, Passage, Reply, Request, content_id

ROOT = Path(__file__).parents[2]


def load_bench(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"bench_{name}", ROOT / "bench" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


bench = load_bench("methods")


@pytest.fixture
def boats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Passages of which the scripted teacher makes something by every method."""
    rows = [
        {"id": name, "title": name, "text": text, "url": "", "licence": "CC0 1.0"}
        for name, text in DOCUMENTS.items()
    ]
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (tmp_path / "passages-ja.jsonl").write_text("".join(lines), encoding="utf-8")
    monkeypatch.setattr(bench, "DATA", tmp_path)
    return tmp_path


def settings(folder: Path, tokens: int = 1500, methods: list[str] | None = None) -> Any:
    return bench.Settings(
        methods or list(bench.SETTINGS), 2, tokens, {"backend": "scripted"}, folder / "cache.sqlite"
    )


class Replies:
    """Takes the place of the watch; ``stop_after`` so many replies it interrupts the bench."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.sent = self.cached = 0
        self._stop_after = stop_after

    def begin(self, name: str, planned: int) -> None:
        pass

    def end(self, text: str) -> None:
        pass

    def reply(self, reply: Reply) -> None:
        self.sent += not reply.cached
        self.cached += reply.cached
        if self._stop_after is not None and self.sent >= self._stop_after:
            raise KeyboardInterrupt


def test_every_method_makes_examples_and_all_counts_add_up(boats: Path) -> None:
    rows = bench.run_language("ja", settings(boats), Replies())
    found = bench.summary(rows)
    assert found["faults"] == []
    assert found["ok"] and found["value"] == found["target"] == len(bench.SETTINGS)
    by_name = {row.method: row for row in rows}
    assert by_name["verbatim"].tokens == by_name["verbatim"].requests == 0
    assert by_name["verbatim"].covered == by_name["verbatim"].facts == 10
    assert all(row.tokens >= 1500 for row in rows if row.method != "verbatim")
    for name in bench.SEED_METHODS:
        assert by_name[name].grounded is by_name[name].covered is None
    text = bench.document(rows, settings(boats), "a machine")
    assert all(f"\n| {name} |" in text for name in bench.SETTINGS)


def test_a_language_without_seeds_has_no_methods_over_instructions() -> None:
    both = [bench.methods_in(language, bench.SETTINGS) for language in ("ja", "en")]
    assert [len(names) for names in both] == [13, 10]
    assert set(both[0]) - set(both[1]) == set(bench.SEED_METHODS)


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_passages_that_ship_are_the_same_terms_and_can_be_read(
    language: str, tmp_path: Path
) -> None:
    passages = bench.read_passages(language, bench.PASSAGES)
    assert len({passage.id for passage in passages}) == bench.PASSAGES == 20
    terms = [passage.document_id for passage in passages]
    assert terms == [passage.document_id for passage in bench.read_passages("ja", 20)]
    assert all(p.licence == "CC BY 4.0" and p.source.startswith("https://") for p in passages)
    (row,) = bench.run_language(language, settings(tmp_path, 400, ["document_qa"]), Replies())
    assert row.usable and row.facts and not row.faults


def test_a_second_run_asks_nothing_and_says_the_same(boats: Path) -> None:
    first, second = Replies(), Replies()
    rows = bench.run_language("ja", settings(boats), first)
    assert bench.run_language("ja", settings(boats), second) == rows
    assert first.sent > 50
    assert (second.sent, second.cached) == (0, first.sent + first.cached)


def test_a_stopped_run_goes_on_where_it_was(boats: Path, tmp_path: Path) -> None:
    names = ["facts", "paraphrase", "self_instruct"]
    whole, second = Replies(), Replies()
    (tmp_path / "whole").mkdir()
    rows = bench.run_language("ja", settings(tmp_path / "whole", methods=names), whole)
    stop = whole.sent // 2
    with pytest.raises(KeyboardInterrupt):
        bench.run_language("ja", settings(boats, methods=names), Replies(stop))
    assert bench.run_language("ja", settings(boats, methods=names), second) == rows
    assert second.sent == whole.sent - stop


def test_no_request_goes_out_once_the_tokens_are_spent(boats: Path) -> None:
    names = ["document_qa"]
    one, two = (
        bench.run_language("ja", settings(boats, tokens, names), Replies())[0]
        for tokens in (1, 110)
    )
    assert 1 < one.tokens < 110 < two.tokens
    assert (one.requests, one.reached, one.covered) == (1, 1, 2)
    assert (two.requests, two.reached, two.covered) == (2, 2, 4)


def numbered(count: int, attempt: int = 0) -> list[Request]:
    return [Request((Message("user", f"問{n}"),), attempt=attempt) for n in range(count)]


def test_what_is_not_sent_gets_no_reply_and_retries_among_it_are_counted() -> None:
    model = ScriptedModel(lambda request: "あ" * 10)
    capped = bench.Capped(model, 25)
    stream = [*numbered(3), *numbered(2, attempt=1), numbered(1)[0], None]
    replies = list(capped.generate(stream))
    assert [reply.request for reply in replies] == stream[:3]
    assert (capped.requests, capped.tokens, capped.given_up) == (3, 30, 2)
    assert sum(model.sent.values()) == 3


def test_an_equal_request_of_one_method_is_paid_for_once() -> None:
    class Keyed(ScriptedModel):
        def generate(self, requests: Any) -> Any:
            for reply in super().generate(requests):
                yield Reply(reply.request, reply.text, "stop", 0, 10, key="the same")

    capped = bench.Capped(Keyed(lambda request: "あ"), 100)
    assert len(list(capped.generate(numbered(4)))) == 4
    assert (capped.requests, capped.tokens) == (1, 10)


def test_passages_take_the_styles_in_turn_and_other_seeds_in_later_rounds(boats: Path) -> None:
    passages = bench.read_passages("ja", 2)
    recipe = bench.recipe_of("ja", ["paraphrase"], {"backend": "scripted"})
    workshop: Any = None  # no model is built for it
    study = bench.open_study(recipe, passages, boats / "run", workshop)
    variants = [method for arm in recipe.arms for method in bench.build_methods(study, arm)]
    capped = bench.Capped(ScriptedModel(lambda request: ""), 5)
    seen = []
    for turn in bench.turns(passages, variants, capped):
        seen.append((turn.passage.title, next(iter(turn.method.prompts)), turn.method.seed))
        capped.tokens += 1
    first, second = (passage.title for passage in passages)
    assert seen == [
        (first, "easy", 0), (second, "medium", 0),
        (first, "medium", 1), (second, "hard", 1),
        (first, "hard", 2), (second, "qa", 2),
    ]  # fmt: skip


def test_what_an_example_was_asked_to_state_counts_as_with_any_other() -> None:
    said = ("あおば丸の定員は48人である。", "あおば丸の船体は檜である。")
    facts = [Fact(content_id(text), "d", "p", n, text) for n, text in enumerate(said)]
    asked = Example(
        "e", "d", "p", "facts", "", f"{said[0]}ほかは書かない。", fact_ids=(facts[1].id,)
    )
    assert bench.stated([asked], facts) == {facts[0].id}


FAULTS: list[tuple[str, Callable[[Any], dict[str, Any]]]] = [
    ("dropped by filters", lambda row: {"curated": row.curated + 1}),
    ("grounded of", lambda row: {"grounded": row.usable + 1}),
    ("covered of", lambda row: {"covered": row.facts + 1}),
    ("tokens", lambda row: {"example_tokens": row.tokens + 1.0}),
    ("no fact", lambda row: {"facts": 0, "covered": 0}),
]


@pytest.mark.parametrize(("says", "change"), FAULTS)
def test_counts_that_do_not_add_up_are_told(
    says: str, change: Callable[[Any], dict[str, Any]], boats: Path
) -> None:
    (row,) = bench.run_language("ja", settings(boats, 300, ["document_qa"]), Replies())
    assert bench.summary([row])["ok"]
    wrong = bench.summary([bench.replace(row, **change(row))])
    assert not wrong["ok"]
    assert any(says in fault for fault in wrong["faults"])


def test_a_method_without_a_usable_example_is_told(boats: Path) -> None:
    (row,) = bench.run_language("ja", settings(boats, 1, ["active_reading"]), Replies())
    assert row.usable == 0 and not row.faults  # the list of strategies took all there was
    found = bench.summary([row])
    assert (found["value"], found["target"], found["ok"]) == (0, 1, False)


def test_the_time_left_is_that_of_what_is_not_in_the_cache() -> None:
    said: list[str] = []
    watch = bench.Watch(3000, said.append, every_seconds=0.0)
    watch.begin("ja facts", 1000)
    watch.reply(Reply(Request(()), "", completion_tokens=500, cached=True))
    assert said == ["  ja facts: 500 of 1000 tokens"]
    watch.reply(Reply(Request(()), "", completion_tokens=500))
    watch.end("3 in 1000 tokens")
    assert "tokens/s, at most" in said[1]
    assert said[2].startswith("ja facts: 3 in 1000 tokens, ")
    assert len(said) == 3


def test_passages_that_are_asked_for_are_the_first_ones() -> None:
    some: list[Passage] = bench.read_passages("en", 3)
    assert some == bench.read_passages("en", 20)[:3]
