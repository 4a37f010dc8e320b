"""A licence is known by its words or it is not known."""

import pytest
from hypothesis import given

from languages import texts
from teichaku.recipes.licences import hub_identifier, keeps_from_publishing


@pytest.mark.parametrize(
    ("stated", "identifier"),
    [
        ("CC0 1.0", "cc0-1.0"),
        ("ＣＣ０", "cc0-1.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "cc0-1.0"),
        ("CC BY 4.0", "cc-by-4.0"),
        ("cc-by-sa-4.0", "cc-by-sa-4.0"),
        ("CC_BY_NC_4.0", "cc-by-nc-4.0"),
        ("https://creativecommons.org/licenses/by-nc-sa/4.0/", "cc-by-nc-sa-4.0"),
        ("Creative Commons Attribution-ShareAlike 3.0 Unported", "cc-by-sa-3.0"),
        ("クリエイティブ・コモンズ 表示-継承 4.0 国際", "cc-by-sa-4.0"),
        ("Apache License 2.0", "apache-2.0"),
        ("Apache License, Version 2.0", "apache-2.0"),
        ("MIT License", "mit"),
        ("ODC-BY", "odc-by"),
    ],
)
def test_a_licence_is_known_however_it_is_spelt(stated: str, identifier: str) -> None:
    assert hub_identifier(stated) == identifier
    assert not keeps_from_publishing(stated)


@pytest.mark.parametrize(
    "stated",
    [
        "",
        "CC BY",
        "CC BY 3.0 or CC BY 4.0",
        "free",
        "政府標準利用規約（第2.0版）",
        "MIT-like",
        "CC BY-SA 9.9",
    ],
)
def test_what_the_words_do_not_say_is_not_known(stated: str) -> None:
    assert hub_identifier(stated) == ""
    assert not keeps_from_publishing(stated)


@pytest.mark.parametrize(
    "stated",
    [
        "CC BY-ND 4.0",
        "https://creativecommons.org/licenses/by-nc-nd/4.0/",
        "クリエイティブ・コモンズ 表示-改変禁止 4.0",
        "Creative Commons Attribution-NoDerivatives 4.0 International",
        "All Rights Reserved.",
        "社外秘",
        "無断転載を禁ず",
        "再配布不可",
        "再配布を禁じる",
        "再配布は禁止です",
        "第三者への再配布はできません",
        "not for redistribution",
        "Redistribution prohibited",
        "Redistribution of the data is strictly prohibited.",
        "it may not be passed on",
        "You may not redistribute it",
        "must not be published",
    ],
)
def test_words_that_forbid_publishing_are_seen(stated: str) -> None:
    assert keeps_from_publishing(stated)
    assert hub_identifier(stated) == ""


@pytest.mark.parametrize(
    "stated",
    [
        "再配布は禁止されていません",
        "再配布を禁じない",
        "再配布可",
        "自由に再配布できます",
        "Redistribution is permitted",
        "Redistribution is not prohibited.",
        "free to copy and redistribute",
        "Adaptations may not be distributed under other terms",
    ],
)
def test_words_that_allow_it_forbid_nothing(stated: str) -> None:
    assert not keeps_from_publishing(stated)


@given(texts)
def test_any_words_have_an_answer(stated: str) -> None:
    identifier = hub_identifier(stated)
    assert identifier == "" or identifier == identifier.strip().casefold()
