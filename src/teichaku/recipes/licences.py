"""What a licence, as a document states it in words, means for publishing what is made from it.

Only what can be read off the words is said. It helps to see a conflict early and is no legal
advice.
"""

import re
import unicodedata

#: Licences that hubs of data sets know, as they spell them.
_HUB = frozenset(
    [
        "afl-3.0",
        "apache-2.0",
        "bsd-2-clause",
        "bsd-3-clause",
        "cc0-1.0",
        "cc-by-2.0",
        "cc-by-2.5",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc-by-sa-3.0",
        "cc-by-sa-4.0",
        "cc-by-nc-2.0",
        "cc-by-nc-3.0",
        "cc-by-nc-4.0",
        "cc-by-nc-sa-2.0",
        "cc-by-nc-sa-3.0",
        "cc-by-nc-sa-4.0",
        "gfdl",
        "mit",
        "odbl",
        "odc-by",
        "pddl",
        "unlicense",
    ]
)
_ZERO = re.compile(r"\bcc[ -]?0\b|\bcc[ -]?zero\b|publicdomain/zero|creative commons zero")
_BY = re.compile(
    r"(?:\bcc|creativecommons\.org/licenses/|creative commons|クリエイティブ・?コモンズ)[ :/-]*"
    r"(?:by|attribution|表示)"
)
#: The conditions of Creative Commons in the order in which their names stand.
_CONDITIONS = {
    "nc": re.compile(r"\bnc\b|non-?commercial|非営利"),
    "nd": re.compile(r"\bnd\b|no[ -]?deriv|改変禁止"),
    "sa": re.compile(r"\bsa\b|share[ -]?alike|継承"),
}
_VERSION = re.compile(r"(?<![\d.])([1-4]\.[05])(?![\d.])")
#: Words by which an owner keeps the text, or leave to pass on what is made from it, to himself.
_KEPT = re.compile(
    r"all rights reserved|proprietary|confidential|internal use|no[ -]?deriv"
    r"|社外秘|機密|無断転載|(?:著作権|権利).*(?:保有|留保)"
)
_PASS_ON = (
    r"(?:(?:re)?distribut(?:ed?|ion)|(?:re)?publish(?:ed)?|cop(?:y|ied)|pass(?:ed)?(?: \w+)? on)\b"
)
#: English words by which a text may not go to others. What may not be passed on under another
#: licence may be under its own.
_NOT_PASSED_ON = re.compile(
    r"\b(?:do not|don't|not(?: to)? be|not for|(?:may|must|can|shall) ?not) "
    rf"{_PASS_ON}(?! under)"
    r"|\b(?:no[ -]?redistribution|(?:not |non-?)redistributable)"
    r"|\bredistribution\b[^.,;]{0,40}"
    r"(?:(?<!not )(?:prohibited|forbidden)|not (?:permitted|allowed))"
)
#: The same in Japanese, but for words that say it is not forbidden.
_NOT_PASSED_ON_JA = re.compile(
    r"(?:再配布|再頒布|頒布|配布|転載|複製|改変|譲渡|公開)(?:する)?(?:こと)?(?:[をはもが、]|\s)*"
    r"(?:一切|固く|堅く)?(?:不可|禁止|厳禁|禁じ|禁ず|できません|できない|認めない|認めません|認められ"
    r"(?:ない|ません|ていま?せん)|しないで|してはな|してはいけ|お断り|お控え)"
    r"(?!(?:は|を|も|が)?(?:され|し)?(?:て)?(?:は)?(?:い)?(?:ない|ません)|られてい(?:ない|ません)"
    r"|では(?:ない|ありません))"
)


def hub_identifier(stated: str) -> str:
    """The identifier by which hubs know the licence that ``stated`` names; empty where the words
    do not name just one of them, with its version.
    """
    words = _plain(stated)
    if _ZERO.search(words):
        return "cc0-1.0"
    if _BY.search(words):
        conditions = [name for name, words_of in _CONDITIONS.items() if words_of.search(words)]
        versions = set(_VERSION.findall(words))
        found = "-".join(["cc-by", *conditions, *versions]) if len(versions) == 1 else ""
    else:
        named = re.sub(r",? ?(?:the )?\blicen[cs]e\b,?|\bversion ?|\bv(?=\d)", " ", words)
        found = re.sub(r"[ _-]+", "-", named.strip())
    return found if found in _HUB else ""


def keeps_from_publishing(stated: str) -> bool:
    """Whether the words of ``stated`` forbid to publish what is made from the document: all
    rights are reserved, it is confidential, or adaptations may not be shared (CC BY-ND).
    """
    words = _plain(stated)
    if _BY.search(words) and _CONDITIONS["nd"].search(words):
        return True
    patterns = (_KEPT, _NOT_PASSED_ON, _NOT_PASSED_ON_JA)
    return any(pattern.search(words) for pattern in patterns)


def _plain(stated: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", stated).casefold().replace("_", "-").split())
