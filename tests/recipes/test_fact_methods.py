"""``facts``, ``reverse`` and ``entity_graph`` in a recipe, from its keys to the coverage."""

from pathlib import Path

import pytest

import studies
from teichaku.core.errors import RecipeError
from teichaku.core.records import Example, Fact
from teichaku.recipes import method_schema
from teichaku.recipes.coverage import run_coverage
from teichaku.recipes.load import load_recipe

QA = "{method: document_qa, per_passage: 5}"
FACTS = "{method: facts, texts: 2, qa_per_fact: 3}, {method: reverse}"


def recipe(folder: Path, methods: str) -> Path:
    path = studies.write_study(folder)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(QA, methods).replace("[1e-3, 1e-4]", "[1e-3]"), encoding="utf-8")
    return path


def test_the_defaults_are_those_of_the_publications() -> None:
    facts = method_schema.Facts(method="facts")
    assert (facts.texts, facts.qa_per_fact) == (5, 10)
    graph = method_schema.EntityGraph(method="entity_graph")
    assert (graph.max_pairs, graph.tokens_per_document) == (None, None)
    assert (graph.generation.temperature, graph.generation.top_p) == (1.0, 1.0)
    assert method_schema.Reverse(method="reverse").samples == 1


def test_facts_that_make_nothing_are_refused(tmp_path: Path) -> None:
    path = recipe(tmp_path, "{method: facts, texts: 0, qa_per_fact: 0}")
    with pytest.raises(RecipeError, match="cannot both be 0"):
        load_recipe(path)


def test_a_run_lists_the_facts_once_and_counts_who_states_them(tmp_path: Path) -> None:
    graph = "{method: entity_graph, max_pairs: 2, max_triples: 1}"
    run = studies.run_study(recipe(tmp_path, f"{FACTS}, {graph}"))
    folder = run.stage("synthesis/qa")
    facts = list(folder.read("facts", Fact))
    examples = list(folder.read("examples", Example))
    assert len(facts) == 15
    assert {example.method for example in examples} == {"facts", "reverse", "entity_graph"}
    assert len({example.id for example in examples}) == len(examples)
    (arm,) = run_coverage(run)
    assert {row.method for row in arm.made.methods} == {"facts", "reverse", "entity_graph"}
    assert arm.made.unstated == ()
