"""What the scripted teacher replies to prompts for instruction data.

Replies are drawn from small tables by what is asked, so that they differ from request to
request and are the same for the same one. They show the traps too: now and then an instruction
that is like another, or a poor one.
"""

import json
import random
import re
from collections.abc import Callable, Sequence

from teichaku.core.records import Request, content_id

_THINGS = {
    "ja": (
        "古い駅舎", "朝市の干物", "町の図書館", "雪かき当番", "自転車の修理", "味噌の仕込み",
        "避難訓練", "合唱の練習", "温室のトマト", "渡り鳥の観察", "竹細工の籠", "学級新聞",
        "川の水質", "将棋の大会", "回覧板", "星座の見つけ方", "茶畑の霜よけ", "手紙の宛名",
        "風力発電", "離島の診療所",
    ),
    "en": (
        "an old railway station", "a fish market", "the village library", "snow clearing",
        "a bicycle repair", "home-made cheese", "a fire drill", "choir practice",
        "greenhouse tomatoes", "migrating birds", "a wicker basket", "a school newspaper",
        "river water", "a chess tournament", "a neighbourhood letter", "finding constellations",
        "frost in a vineyard", "the address on an envelope", "a wind turbine", "an island clinic",
    ),
}  # fmt: skip
_TASKS = {
    "ja": (
        "{}について、はじめての人が驚きそうなことを三つ挙げてください。",
        "{}をめぐる苦情の手紙に、落ち着いた調子で返事を書いてください。",
        "{}にかかる費用を、次の金額から合計してください。",
        "{}を題材に、五七五の句を一つ詠んでください。",
        "{}の手順を、失敗しやすい順に並べ替え、その理由も述べてください。",
        "次の感想は{}に好意的ですか、批判的ですか。",
        "{}の歴史を、昔話の語り口で百字ほどにまとめてください。",
        "{}とよく似た物を一つ選び、違いを表にしてください。",
        "{}の係を引き受けるときの、断り方と受け方を一つずつ示してください。",
        "{}を英語で紹介する短い挨拶文を考えてください。",
    ),
    "en": (
        "Name three things about {} that would surprise a beginner.",
        "Answer a complaint about {} in a calm tone of voice.",
        "Add up what {} costs from the amounts given below.",
        "Compose a haiku whose subject is {}.",
        "Order the steps of {} by how easily they go wrong, with reasons.",
        "Is the following opinion of {} favourable or unfavourable?",
        "Tell the past of {} in the manner of a folk tale.",
        "Compare {} with something similar in a two-column table.",
        "Show one way to accept and one way to refuse a job concerning {}.",
        "Draft a welcome speech that mentions {} twice.",
    ),
}
_CLASSIFIES = {"ja": "ですか、", "en": "favourable or"}
_MORE = {
    "ja": ("ただし、理由を二つ添えてください。", "ただし、子どもにも分かる言葉に限ります。",
           "ただし、費用と日数の両方を考えてください。"),
    "en": ("Give two reasons for it.", "Use only words that a child would know.",
           "Consider both the cost and the number of days."),
}  # fmt: skip


def _language(request: Request) -> str:
    return "ja" if request.prompt.startswith("ja/") else "en"


def _drawn(request: Request) -> random.Random:
    asked = [message.content for message in request.messages]
    return random.Random(content_id(*asked, request.sampling.seed))


def _instruction(language: str, drawn: random.Random) -> str:
    return drawn.choice(_TASKS[language]).format(drawn.choice(_THINGS[language]))


def _self_instruct(request: Request) -> str:
    language, drawn = _language(request), _drawn(request)
    listed = re.findall(r"^(\d+)\. (.+)$", request.messages[-1].content, re.MULTILINE)
    first = int(listed[-1][0]) + 1
    items = [_instruction(language, drawn) for _ in range(first, 16)]
    items[-1] = listed[-1][1]  # models fall back on what they were shown
    return "\n".join(f"{first + place}. {item}" for place, item in enumerate(items))


def _classify(request: Request) -> str:
    word = _CLASSIFIES[_language(request)]
    return _json({"classification": word in request.subject.unit.question})


def _input_first(request: Request) -> str:
    language, drawn = _language(request), _drawn(request)
    things = drawn.sample(_THINGS[language], 2)
    return _json({"instances": [{"input": i, "output": _answer(language, i)} for i in things]})


def _output_first(request: Request) -> str:
    language, drawn = _language(request), _drawn(request)
    labels = {"ja": ("好意的", "批判的"), "en": ("favourable", "unfavourable")}[language]
    things = drawn.sample(_THINGS[language], len(labels))
    pairs = zip(labels, things, strict=True)
    return _json({"instances": [{"output": label, "input": thing} for label, thing in pairs]})


def _evolved(request: Request) -> str:
    language, drawn = _language(request), _drawn(request)
    unit = request.subject.unit
    if request.subject.style == "in_breadth":
        return _json({"instruction": _instruction(language, drawn), "input": ""})
    more: Sequence[str] = [m for m in _MORE[language] if m not in unit.question]
    added = drawn.choice(more) if more else ""
    space = " " if language == "en" and added else ""
    return _json({"instruction": f"{unit.question}{space}{added}", "input": unit.input})


def _equal(request: Request) -> str:
    is_equal = _drawn(request).random() < 0.1
    told = {"ja": "求めるものを比べた。", "en": "Compared what is asked."}[_language(request)]
    return _json({"explanation": told, "equal": is_equal})


def _instruction_answer(request: Request) -> str:
    return _answer(_language(request), request.subject.detail.question)


def _domain_spread(request: Request) -> str:
    language, drawn = _language(request), _drawn(request)
    domain = request.subject.style
    asked = {
        "ja": f"{domain}の仕事で、{_instruction('ja', drawn)}",
        "en": f"For someone in {domain}: {_instruction('en', drawn)}",
    }[language]
    return _json({"instruction": asked, "input": "", "output": _answer(language, asked)})


def _magpie_screen(request: Request) -> str:
    drawn = _drawn(request)
    quality = drawn.choice(["good", "excellent", "good", "excellent", "average"])
    told = {"ja": "条件を守っている。", "en": "It meets the conditions."}[_language(request)]
    return _json(
        {
            "explanation": told,
            "difficulty": drawn.choice(["easy", "medium", "hard"]),
            "quality": quality,
            "score": drawn.randint(5, 10),
        }
    )


def _answer(language: str, about: str) -> str:
    if language == "ja":
        return f"「{about[:30]}」には、まず条件を確かめ、次に順を追って答えます。"
    return f"As to '{about[:40]}': check the conditions first, then answer step by step."


def _json(reply: dict[str, object]) -> str:
    return json.dumps(reply, ensure_ascii=False)


#: The reply by the name of the prompt.
REPLIES: dict[str, Callable[[Request], str]] = {
    "self_instruct": _self_instruct,
    "self_instruct_classify": _classify,
    "self_instruct_input_first": _input_first,
    "self_instruct_output_first": _output_first,
    "evol_in_depth": _evolved,
    "evol_in_breadth": _evolved,
    "evol_equal": _equal,
    "instruction_answer": _instruction_answer,
    "domain_spread": _domain_spread,
    "magpie_screen": _magpie_screen,
}
