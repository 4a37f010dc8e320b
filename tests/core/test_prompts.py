from pathlib import Path

import pytest

from teichaku.core.errors import UserError
from teichaku.core.prompts import PromptPack, parse_prompt


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
