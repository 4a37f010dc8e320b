"""The rendered prompt in the report, and what its faults mean for the figures."""

import html
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from languages import texts
from report_run import Plan, gain, write_run
from teichaku.core.records import Answer, Score
from teichaku.core.run_folder import RunFolder, json_bytes, write_aside
from teichaku.evaluation.benchmarks.controls import Controls, write_results, write_sets
from teichaku.evaluation.benchmarks.conversations import NOT_ASKED
from teichaku.report.build import build_report
from teichaku.report.page import _environment
from teichaku.report.wording import Wording

ADVICE = {"doubled_bos", "missing_bos", "missing_chat_template", "empty_prompt"}


def rendered(**changes: Any) -> dict[str, Any]:
    one = {
        "arm": "base",
        "model": "pupil",
        "backend": "transformers",
        "condition": "closed_book",
        "prompt": "ja/closed_book@1",
        "messages": [{"role": "user", "content": "定員は？"}],
        "text": "<bos>定員は？",
        "tokens": [2, 901, 902],
        "special": [2],
        "bos": 2,
        "has_chat_template": True,
        "faults": [],
    }
    return {**one, **changes}


def with_prompts(run: RunFolder, *prompts: dict[str, Any], by_servers: Any = ()) -> RunFolder:
    content = {"question_id": "q0-trained-0", "prompts": prompts, "by_servers": list(by_servers)}
    write_aside(run.path / "evaluation" / "prompt.json", json_bytes(content))
    return run


def page_of(run: RunFolder) -> str:
    return (run.path / "report" / "index.html").read_text("utf-8")


def test_text_and_token_ids_are_shown_with_the_special_ones_marked(tmp_path: Path) -> None:
    run = with_prompts(write_run(tmp_path / "drinks", Plan(gain)), rendered())
    report = build_report(run, "en")
    assert report["prompt"]["prompts"][0]["tokens"] == [2, 901, 902]
    page = page_of(run)
    assert "&lt;bos&gt;定員は？" in page
    assert "<b>2</b> 901 902" in page
    assert "The model&#39;s own chat template." in page
    assert (
        report["headline"]["caveats"]
        == build_report(write_run(tmp_path / "bare", Plan(gain)), "en")["headline"]["caveats"]
    )


@pytest.mark.parametrize("fault", sorted(ADVICE))
@pytest.mark.parametrize("language", ["ja", "en"])
def test_a_fault_voids_the_figures_and_is_told_first(
    tmp_path: Path, fault: str, language: str
) -> None:
    faulty = [rendered(faults=[fault]), rendered(condition="open_book", faults=[fault])]
    run = with_prompts(write_run(tmp_path / "drinks", Plan(gain)), *faulty)
    caveats = build_report(run, language)["headline"]["caveats"]
    named = Wording(language).label("prompt_faults", fault)
    assert named != fault
    assert named in caveats[0] and "base" in caveats[0]
    assert sum(named in caveat for caveat in caveats) == 1


def test_of_a_server_it_is_said_that_its_template_is_not_seen(tmp_path: Path) -> None:
    about = {"arm": "gpt", "model": "gpt-9", "backend": "http"}
    run = with_prompts(write_run(tmp_path / "drinks", Plan(gain)), rendered(), by_servers=[about])
    build_report(run, "en")
    assert "<b>gpt</b> (gpt-9, http): The server puts the messages" in page_of(run)


@pytest.mark.parametrize(("has_template", "told"), [
    (True, "The model's own chat template."), (False, "llama.cpp puts one of its own"),
])  # fmt: skip
def test_of_a_model_in_llama_cpp_it_is_said_whose_template_it_is(
    tmp_path: Path, has_template: bool, told: str
) -> None:
    one = {**rendered(), "backend": "llama_cpp", "has_chat_template": has_template}
    run = with_prompts(write_run(tmp_path / "drinks", Plan(gain)), one)
    build_report(run, "en")
    assert told in page_of(run).replace("&#39;", "'")


def test_a_model_that_could_not_be_had_is_told_with_its_error(tmp_path: Path) -> None:
    lost = {"arm": "other", "model": "m", "backend": "transformers", "error": "No such model."}
    run = with_prompts(write_run(tmp_path / "drinks", Plan(gain)), rendered(), lost)
    build_report(run, "en")
    assert "other (m): No such model." in page_of(run)


def test_a_run_without_a_rendered_prompt_has_no_such_part(tmp_path: Path) -> None:
    run = write_run(tmp_path / "drinks", Plan(gain))
    assert build_report(run, "en")["prompt"] == {}
    assert 'id="prompt"' not in page_of(run)


def with_sets(
    run: RunFolder, *prompts: dict[str, Any], models: Any = None, errors: Any = None
) -> RunFolder:
    """``run`` with what the controls wrote: a set without an item, and how it was asked."""
    folder = run.stage("controls")
    folder.begin("controls")
    write_sets(folder, [], [])
    write_results(folder, Controls({}, {}, [], [], {}), [])
    folder.write("scores", Score, [])
    told = [
        Answer(f"{arm}-{place}", f"q{place}", arm, "base", "closed_book", "", error=error)
        for arm, given in (errors or {}).items()
        for place, error in enumerate(given)
    ]
    folder.write("answers", Answer, told)
    write_aside(folder.path / "models.json", json_bytes({"models": models or {}}))
    content = {"prompts": prompts, "by_servers": []}
    write_aside(folder.path / "prompt.json", json_bytes(content))
    folder.finish("controls", {"counts": {"in": 0, "out": 0, "dropped": 0, "reasons": {}}})
    run.add_stage("controls", "controls")
    return run


def of_set(**changes: Any) -> dict[str, Any]:
    one = rendered(**{"set": "jnli", "question_id": "c0", "put": "chat", **changes})
    return {key: value for key, value in one.items() if key != "condition"}


def test_of_benchmarks_alone_the_prompts_are_shown_too(tmp_path: Path) -> None:
    run = write_run(tmp_path / "drinks", Plan(gain, unfinished=("evaluation", "questions")))
    with_sets(run, of_set(), of_set(put="plain", text="<bos>前提と仮説"))
    report = build_report(run, "en")
    assert [one["put"] for one in report["prompt"]["of_sets"]] == ["chat", "plain"]
    assert report["prompt"]["prompts"] == []
    page = page_of(run)
    assert "<h3>The first item of each benchmark</h3>" in page
    assert "&lt;bos&gt;前提と仮説" in page and "<b>2</b> 901 902" in page
    assert "jnli · the plain frame as it stands" in page
    assert "The text as it stands, without any template." in page


@pytest.mark.parametrize("language", ["ja", "en"])
def test_faults_of_benchmark_prompts_are_told_once_by_model_and_set(
    tmp_path: Path, language: str
) -> None:
    run = write_run(tmp_path / "drinks", Plan(gain))
    with_prompts(run, rendered(faults=["doubled_bos"]))
    faults = {"jnli": {"doubled_bos": 4}, "jsquad": {"missing_chat_template": 7}}
    with_sets(run, of_set(), models={arm: {"put": {}, "faults": faults} for arm in ("base", "qa")})
    words = Wording(language)
    caveats = build_report(run, language)["headline"]["caveats"]
    (told,) = [
        one for one in caveats if words.label("prompt_faults", "missing_chat_template") in one
    ]
    assert caveats.index(told) == 1
    assert "base" in told and "jsquad 7" in told and "jnli" not in told
    assert sum(words.label("prompt_faults", "doubled_bos") in one for one in caveats) == 1


def test_a_further_model_that_answered_no_benchmark_is_told_with_its_first_error(
    tmp_path: Path,
) -> None:
    run = write_run(tmp_path / "drinks", Plan(gain))
    run.write_json("run.json", {**run.read_json("run.json"), "further_models": ["gpt", "large"]})
    with_sets(run, errors={"gpt": [NOT_ASKED, "gone"], "large": ["slow", ""]})
    caveats = build_report(run, "en")["headline"]["caveats"]
    assert caveats[0].startswith("gpt gave no answer at all") and "(gone)" in caveats[0]
    assert not any("large" in caveat for caveat in caveats)


@given(texts)
def test_any_text_of_a_prompt_stays_text(text: str) -> None:
    template = _environment().from_string(
        '{% import "macros.html.j2" as m %}{% include "prompt.html.j2" %}'
    )
    shown = {"prompts": [rendered(text=text)], "of_sets": [], "by_servers": [], "question": text}
    page = template.render(report={"prompt": shown}, words=Wording("en"))
    assert (
        f'<div class="text">{html.escape(text)}</div>'.replace("&#x27;", "&#39;").replace(
            "&quot;", "&#34;"
        )
        in page
    )
