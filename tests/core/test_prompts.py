from pathlib import Path

import pytest

from teichaku.core import prompts
from teichaku.core.errors import UserError
from teichaku.core.prompts import PromptPack, builtin_prompts, parse_prompt


def test_sections_become_messages_with_name_and_version() -> None:
    prompt = parse_prompt("version: 3\n[system]\nあなたは教師。\n[user]\n{{ passage }}\n", "ja/x")
    assert prompt.name == "ja/x@3"
    assert [m.role for m in prompt.messages(passage="本文")] == ["system", "user"]
    assert prompt.messages(passage="本文")[1].content == "本文"
    assert prompt.placeholders == {"passage"}


def test_a_missing_value_is_told() -> None:
    prompt = parse_prompt("version: 1\n[user]\n{{ passage }}", "ja/x")
    with pytest.raises(UserError, match="passage"):
        prompt.messages(question="?")


def test_user_text_is_not_a_template() -> None:
    prompt = parse_prompt("version: 1\n[user]\n{{ passage }}", "ja/x")
    assert prompt.text(passage="{{ 1 + 1 }} [system]") == "{{ 1 + 1 }} [system]"


@pytest.mark.parametrize("source", ["[user]\nx", "version: 1\nx", "version: one\n[user]\nx"])
def test_a_file_that_is_not_well_formed_is_refused(source: str) -> None:
    with pytest.raises(UserError, match="not well formed"):
        parse_prompt(source, "ja/x")


def test_the_users_folder_goes_before_and_english_stands_in(tmp_path: Path) -> None:
    (tmp_path / "closed_book.txt").write_text("version: 9\n[user]\nmine {{ question }}")
    assert PromptPack("ja", tmp_path).load("closed_book").name == "ja/closed_book@9"
    assert PromptPack("th").load("closed_book").name.startswith("en/closed_book@")
    with pytest.raises(UserError, match="no prompt 'nothing'"):
        PromptPack("ja").load("nothing")


def refused(folder: Path, language: str = "ja") -> str:
    with pytest.raises(UserError) as caught:
        PromptPack(language, folder)
    return f"{caught.value.message}\n{caught.value.hint}"


def put(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"version: 1\n[user]\n{text}\n", encoding="utf-8")


def test_a_folder_that_is_none_or_empty_does_not_mean_the_built_in_prompts(tmp_path: Path) -> None:
    assert "There is no folder of prompts at" in refused(tmp_path / "nowhere")
    (tmp_path / "ja").mkdir()
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / ".DS_Store").write_text("")
    assert "no prompt in it" in refused(tmp_path)


@pytest.mark.parametrize("name", ["closed_bok.txt", "closed_book.md", "Closed_Book.txt"])
def test_a_file_that_is_no_prompt_has_the_nearest_named(tmp_path: Path, name: str) -> None:
    put(tmp_path, name, "{{ question }}")
    assert f"{name}: is no prompt; did you mean closed_book.txt?" in refused(tmp_path)


def test_all_mistakes_of_a_folder_are_told_at_once(tmp_path: Path) -> None:
    put(tmp_path, "document_qa.txt", "{{ count }} {{ title }} {{ pasage }}")
    put(tmp_path, "closed_book.txt", "{% if %}")
    put(tmp_path, "open_book.txt", "{{ passage | shout }} {{ question }}")
    put(tmp_path, "grounded_judge.txt", "{{ passage }} {{ question }} {{ answer }}")
    (tmp_path / "judge_absolute.txt").write_text("質問", encoding="cp932")
    (tmp_path / "plain_template.txt").write_text("no version")
    put(
        tmp_path,
        "held_out_wording.txt",
        "{% for i in range(2) %}{{ question }}{{ answer }}{% endfor %}",
    )
    lines = refused(tmp_path).splitlines()
    expected = {
        "closed_book.txt: is no template of Jinja: ",
        "document_qa.txt: lacks {{ passage }}",
        "document_qa.txt: {{ pasage }} has no value; it may use: count, passage, title",
        "judge_absolute.txt: Prompt ",
        "open_book.txt: is no template of Jinja: No filter named 'shout'",
        "plain_template.txt: Prompt ja/plain_template is not well formed.",
    }
    assert len(lines) == len(expected) + 2
    for start in expected:
        assert any(line.strip().startswith(start) for line in lines), start
    assert any("Save it as UTF-8" in line for line in lines if "judge_absolute" in line)


@pytest.mark.parametrize("name", ["as_json", "ask_again", "masked_sentence", "plain_template"])
def test_a_prompt_that_becomes_part_of_a_message_has_one_section(tmp_path: Path, name: str) -> None:
    builtin = PromptPack("ja").load(name)
    ((role, text),) = builtin.sections
    source = f"version: 1\n[system]\nx\n[{role}]\n{text}"
    (tmp_path / f"{name}.txt").write_text(source, "utf-8")
    assert f"{name}.txt: has 2 sections" in refused(tmp_path)
    (tmp_path / f"{name}.txt").write_text(f"version: 1\n[user]\n{text}", "utf-8")
    assert PromptPack("ja", tmp_path).load(name).sections == (("user", text),)


def test_a_prompt_that_is_asked_as_it_is_may_get_a_system_section(tmp_path: Path) -> None:
    source = "version: 1\n[system]\nx\n[user]\n{{ question }}"
    (tmp_path / "closed_book.txt").write_text(source, "utf-8")
    assert len(PromptPack("ja", tmp_path).load("closed_book").messages(question="?")) == 2


def test_what_a_prompt_uses_only_under_a_condition_can_be_left_out(tmp_path: Path) -> None:
    required = {name: PromptPack("ja").load(name).required for name in builtin_prompts()}
    assert required["document_qa"] == {"passage", "count"}
    assert required["category_qa"] == {"passage", "categories", "examples"}
    assert required["held_out_wording"] == {"question", "answer"}
    put(tmp_path, "document_qa.txt", "{{ count }} {% if passage %}{{ passage }}{% endif %}")
    assert PromptPack("ja", tmp_path).load("document_qa").placeholders == {"count", "passage"}


@pytest.mark.parametrize("name", builtin_prompts())
def test_a_prompt_needs_the_same_in_every_language(name: str) -> None:
    assert PromptPack("ja").load(name).required == PromptPack("en").load(name).required


def test_the_built_in_prompts_may_be_copied_whole(tmp_path: Path) -> None:
    for name in builtin_prompts():
        source = Path(prompts.__file__).parents[1] / "prompts" / "ja" / f"{name}.txt"
        (tmp_path / source.name).write_text("\ufeff" + source.read_text("utf-8"), "utf-8")
    pack = PromptPack("ja", tmp_path)
    assert pack.load("document_qa") == PromptPack("ja").load("document_qa")


def test_a_template_that_fails_is_the_users_to_mend() -> None:
    prompt = parse_prompt("version: 1\n[user]\n{{ question + 1 }}{% include 'x' %}", "ja/x")
    with pytest.raises(UserError, match="cannot be rendered"):
        prompt.messages(question="?")
    two = parse_prompt("version: 1\n[system]\nx\n[user]\n{{ question }}", "ja/x")
    with pytest.raises(UserError, match="more than one section"):
        two.text(question="?")
