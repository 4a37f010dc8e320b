"""Instructions and the methods that make them, with the prompts and words that ship."""

from pathlib import Path
from typing import Any

from teichaku.core.prompts import Prompt, PromptPack
from teichaku.core.records import SEED, Example, content_id
from teichaku.recipes.seed_methods import read_domains, read_words
from teichaku.synthesis.domain_spread import DomainSpread
from teichaku.synthesis.evol_instruct import EvolInstruct, EvolPrompts
from teichaku.synthesis.self_instruct import SelfInstruct, SelfInstructPrompts

TOPICS = (
    "朝顔の種をまく時期を教えてください。",
    "次の苦情に返事を書いてください。",
    "三角形の面積を求めてください。",
    "この感想は好意的ですか、批判的ですか。",
    "落語と漫才の違いを三行で述べてください。",
    "冬の夜を俳句に詠んでください。",
    "議事録から決まったことを抜き出してください。",
    "英文を日本語に翻訳してください。",
    "湯たんぽを安全に使う方法は何ですか。",
    "与えられた単語を五十音順に並べてください。",
)


def instruction(question: str, answer: str = "答え", **changes: Any) -> Example:
    values: dict[str, Any] = {
        "id": content_id(SEED, question, changes.get("input", "")),
        "document_id": "",
        "passage_id": "",
        "method": SEED,
        "question": question,
        "answer": answer,
        "language": "ja",
    }
    return Example(**{**values, **changes})


def human_seeds() -> list[Example]:
    return [instruction(topic) for topic in TOPICS]


def many_seeds(count: int) -> list[Example]:
    """So many seeds, no two of them with one instruction."""
    return [
        instruction(f"{TOPICS[n % len(TOPICS)]}それを{n}通り考えてください。") for n in range(count)
    ]


def prompt(name: str, language: str = "ja") -> Prompt:
    return PromptPack(language).load(name)


def self_instruct(language: str = "ja", **changes: Any) -> SelfInstruct:
    names = ("", "_classify", "_input_first", "_output_first")
    prompts = SelfInstructPrompts(*(prompt(f"self_instruct{name}", language) for name in names))
    return SelfInstruct(prompts, read_words(language, Path()), language, **changes)


def evol_instruct(language: str = "ja", **changes: Any) -> EvolInstruct:
    names = ("evol_in_depth", "evol_in_breadth", "evol_equal", "instruction_answer")
    prompts = EvolPrompts(*(prompt(name, language) for name in names))
    return EvolInstruct(prompts, read_words(language, Path()), language, **changes)


def domain_spread(language: str = "ja", **changes: Any) -> DomainSpread:
    domains = changes.pop("domains", read_domains(language, Path()))
    words = read_words(language, Path())
    return DomainSpread(prompt("domain_spread", language), words, language, domains, **changes)
