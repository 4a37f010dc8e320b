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
    r"all rights reserved|proprietary|confidential|internal use|do not (?:re)?distribute"
    r"|no[ -]?redistribution|no[ -]?deriv|社外秘|機密|無断転載|転載禁止|再配布禁止|複製禁止"
    r"|改変禁止|(?:著作権|権利).*(?:保有|留保)"
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
    return _KEPT.search(words) is not None


def _plain(stated: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", stated).casefold().replace("_", "-").split())
