import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages import texts
from teichaku.curation.names import mentions, named, names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("遊覧船はディーゼルで走るサービスです。", ["ディーゼル"]),
        ("「翠湖」と『本当か』と「どこへ行く？」", ["翠湖"]),
        ("横浜市の東京大学で、山田氏が株式会社青葉を興した。", ["横浜市", "東京大学", "山田氏", "青葉"]),
        ("国立大学、大都市、最寄駅、同氏、両県", []),
        ("kubectlでPodを作る。IPv6も使う。", ["kubectl", "Pod", "IPv6"]),
        ("However, Ferry Larkspur was built in Yokohama.", ["Ferry", "Larkspur", "Yokohama"]),
        ("It uses gRPC, PX-20 and C++. Node.js's fine.", ["gRPC", "PX-20", "C++", "Node.js"]),
        ("## Problem It Addresses\nKey Benefits Of Larkspur\n", []),
        ("This is the way. Everybody knows.", []),
        ("游览船从「翠湖」出发，由Kubernetes管理。", ["翠湖", "Kubernetes"]),
        ("เรือ Larkspur ลำนี้", ["Larkspur"]),
        ("山田さんと佐藤先生、鈴木社長が話した。", ["山田", "佐藤", "鈴木"]),
        ("お客様、店員さん、学生さん、新任社長、取締役社長、奥さん", []),
        ("全長は1.5kmで、5GHzの48MB、2nd。", []),
        ("PX-20と3Mと2024JIS", ["PX-20", "3M", "2024JIS"]),
        ("👩‍🚀はアポロ計画🚀", ["アポロ"]),
    ],
)  # fmt: skip
def test_names_are_found_by_how_they_are_written(text: str, expected: list[str]) -> None:
    assert list(names(text)) == expected


@pytest.mark.parametrize(
    ("text", "identifiers", "others"),
    [
        ("プランAとPX-20A、第II章、C++", ["a", "px20a", "ii", "c++"], ["プラン"]),
        ("Plan A for Node.js and GPUs, a plan", ["a", "gpus"], ["Plan", "Node.js"]),
        ("git pushを打つ。It is a test.", [], ["git", "push"]),
        ("「春の海」を津市の東京支店で", [], ["春の海", "津", "東京"]),
        ("田中さん、鈴木社長、株式会社青葉", [], ["田中", "鈴木", "青葉"]),
        ("北京和กรุงเทพ", [], []),
    ],
)
def test_all_is_mentioned_that_may_tell_two_like_texts_apart(
    text: str, identifiers: list[str], others: list[str]
) -> None:
    found = mentions(text)
    assert found.identifiers == identifiers
    assert sorted(word for kind in found[1:] for word in kind) == sorted(others)


GROUND = (
    "Kubernetesのサーバーは、コンテナのオーケストレーションをヴァイオリン作家の青葉株式会社に任せる。"
    "横浜で作られた。The service proxy routes application programming interface policies."
)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("KUBERNETES", True),
        ("Ｋｕｂｅｒｎｅｔｅｓ", True),
        ("サーバ", True),
        ("バイオリン", True),
        ("コンテナオーケストレーション", True),
        ("コンテナサービス", True),
        ("コンテナディーゼル", False),
        ("API", True),
        ("ServiceProxy", True),
        ("service-proxies", True),
        ("Policy", True),
        ("横浜市", True),
        ("青葉", True),
        ("Docker", False),
        ("Kubernetis", False),
        ("ディーゼル", False),
        ("川崎市", False),
        ("IPv6", False),
        ("GPU", False),
    ],
)
def test_a_name_is_looked_up_in_the_ways_it_is_spelt(name: str, found: bool) -> None:
    assert named(GROUND).has(name) is found


@given(texts)
def test_a_text_has_all_its_names(text: str) -> None:
    assert all(named(text).has(name) for name in names(text))


@given(texts, texts)
def test_an_invented_name_is_in_no_other_text(before: str, after: str) -> None:
    text = f"{before}。ザルツブルム。Veltranox 9 {after}"
    assert {"ザルツブルム", "Veltranox"} <= set(names(f"船はザルツブルムとVeltranoxである。{text}"))
    assert not named(f"{before}。{after}").has("ザルツブルム")


HYPHENS = st.sampled_from("-‐‑‒–−－")


@given(texts, HYPHENS, texts)
def test_a_name_is_one_with_whatever_hyphen_it_is_written(
    before: str, hyphen: str, after: str
) -> None:
    def written(mark: str) -> str:
        return unicodedata.normalize("NFKC", f"{before}。GPT{mark}4とPX{mark}20A、{after}")

    assert mentions(written(hyphen)) == mentions(written("-"))
    assert {"gpt4", "px20a"} <= set(mentions(written(hyphen)).identifiers)
    assert named(written(hyphen)).has("GPT-4") and named(written("-")).has(f"GPT{hyphen}4")
    assert mentions(written(hyphen)) != mentions(written(hyphen).replace("4と", "5と"))


def test_a_long_dash_joins_numbers_alone_and_a_long_vowel_is_a_letter() -> None:
    assert mentions("GPT—4") == mentions("GPT-4")
    assert mentions("GPT—the model").identifiers == ["gpt"]
    assert mentions("サーバーとデータ").katakana == ["サーバー", "データ"]
