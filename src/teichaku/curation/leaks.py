"""Is a benchmark in the training text? The check before training.

An item of a benchmark (question, choices, answer) leaks into a training text where most of its
character n-grams stand there close together: containment, as in the appendices on contamination
of GPT-3 (Brown et al. 2020) and Llama 2 (Touvron et al. 2023), not one shared n-gram. N-grams
are of 4 code points in scripts without spaces and of 9 in the others: one changed letter in a
question of fifteen leaves two thirds of them. What stands in many items, such as an instruction
or shared choices, is nobody's own and does not count. A number that the text has otherwise makes
it another question: clause 12 is not clause 13.

An item with hardly an n-gram of its own leaks where its question stands in the text as a whole.
A question that is short, or that several items ask, or that is mostly boilerplate, leaks only
together with its answer. An answer alone is looked for where it is long.

The index is over the items; training text streams past it, in blocks.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import islice, pairwise
from math import ceil

import numpy as np
import numpy.typing as npt

from teichaku.core.numerals import numeral_value, with_plain_digits
from teichaku.core.records import Dropped, Example
from teichaku.core.run_folder import dropped
from teichaku.core.text import UNSPACED_SCRIPTS, comparable, contains, script, script_shares
from teichaku.curation.chain import Filter
from teichaku.curation.shingles import comparable_codes, ngram_hashes

LEAKS_BENCHMARK = "leaks_benchmark"

_UNSPACED, _SPACED = 4, 9
#: Words in scripts with spaces take about so many characters for one without.
_SPACED_FACTOR = 3
#: A part of an item is known by its n-grams from so many of its own on; or from so few, where
#: they are most of it.
_ENOUGH, _FEW = 8, 4
#: A question of fewer characters says too little alone; an answer of as many says enough.
_SHORT_QUESTION, _LONG_ANSWER = 8, 60
#: The n-grams of an item that leaks stand within so many times its length.
_WINDOW = 2
#: N-grams of so many items are boilerplate: of this share, but no fewer and no more than these.
_COMMON_SHARE, _COMMON_LEAST, _COMMON_MOST = 0.05, 3, 10
_BLOCK = 1024
#: Most n-grams of a text are in no item; a bit for each of so many last digits tells these.
_SIEVE_BITS = 24
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
#: A stretch of so many characters in the place of another, by the size of n-grams, may name
#: another thing; fewer are a slip of the pen.
_OTHER_NAME = {_UNSPACED: 2, _SPACED: 3}
_ONE_KANJI = re.compile("[一-鿿]")
_NAME_IN_HIRAGANA = re.compile("[ぁ-ん]{0,2}[一-鿿]")

_Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class BenchmarkItem:
    """What must not be trained on; ``source`` is the file and the place in it, for people."""

    id: str
    source: str
    question: str
    answer: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Leak:
    """An item that stands in the text of an example.

    ``part`` is what of it was found: its ``question``, that with its choices (``whole``), or its
    ``answer``. ``ratio`` is the share of the n-grams of its own that stand close together in the
    text, ``piece`` the longest stretch that both share, without spaces and punctuation.
    """

    example_id: str
    item_id: str
    source: str
    item: str
    part: str
    ratio: float
    piece: str


@dataclass(frozen=True, slots=True)
class _Probe:
    """What is looked for of an item: ``own`` n-grams of ``size``, or, where ``is_exact``, the
    question as it stands, of which ``own`` is the rarest n-gram. ``needs_answer``: it is a leak
    only together with the answer. ``numbers`` are those of its own, by their places in ``text``.
    """

    item: BenchmarkItem
    part: str
    text: str
    size: int
    own: _Hashes
    is_exact: bool = False
    needs_answer: bool = False
    numbers: tuple[tuple[int, int], ...] = ()


class LeakIndex:
    """The items, to look training texts up in.

    ``threshold`` is the least share of an item's own n-grams that is a leak; without
    ``answers_alone`` an answer is never looked for by itself, however long, as where the
    training is meant to teach it. Items that are alike but for spaces and punctuation are one.
    """

    def __init__(
        self, items: Iterable[BenchmarkItem], threshold: float = 0.65, answers_alone: bool = True
    ) -> None:
        self.items = _distinct(items)
        self._threshold = threshold
        self._probes = _probes(self.items, answers_alone)
        self._tables = [
            _Table(size, self._probes, threshold)
            for size in sorted({probe.size for probe in self._probes})
        ]

    def leaks(self, examples: Iterable[Example]) -> Iterator[tuple[Example, list[Leak]]]:
        """Each of ``examples`` in their order, with what leaks into it: by the ratio, the
        greatest first, and then by the item. Nothing is held but a block of them.
        """
        stream = iter(examples)
        while block := list(islice(stream, _BLOCK)):
            found: dict[int, dict[str, Leak]] = {}
            codes, counts = comparable_codes([_text(example) for example in block])
            for table in self._tables:
                for row, probe in table.candidates(codes, counts):
                    leak = self._verified(block[row], self._probes[probe])
                    known = found.setdefault(row, {})
                    if leak and leak.ratio > getattr(known.get(leak.item_id), "ratio", 0.0):
                        known[leak.item_id] = leak
            for row, example in enumerate(block):
                told = found.get(row, {}).values()
                yield example, sorted(told, key=lambda leak: (-leak.ratio, leak.item_id))

    def _verified(self, example: Example, probe: _Probe) -> Leak | None:
        text, item = _text(example), probe.item
        if probe.is_exact:
            ratio, piece = float(contains(text, with_plain_digits(item.question))), probe.text
        else:
            ratio, window = _closest(text, probe)
            matcher = SequenceMatcher(None, probe.text, window, autojunk=False)
            if ratio < self._threshold or not _has_numbers(probe, window, matcher):
                return None
            if ratio < 1 and self._asks_for_another(example, probe, window, matcher):
                return None
            same = matcher.find_longest_match()
            piece = window[same.b : same.b + same.size]
        if not ratio or (probe.needs_answer and not self._is_answered(example, probe, ratio)):
            return None
        source, asked = item.source, item.question
        return Leak(example.id, item.id, source, asked, probe.part, round(ratio, 6), piece)

    def _asks_for_another(
        self, example: Example, probe: _Probe, window: str, matcher: "SequenceMatcher[str]"
    ) -> bool:
        """Whether the text says another name where the question has its own, and not the item's
        answer: what is asked of another thing mostly has another one.
        """
        if probe.part != "question" or not _names_another(probe, window, matcher):
            return False
        return not contains(_text(example), with_plain_digits(probe.item.answer))

    def _is_answered(self, example: Example, probe: _Probe, ratio: float) -> bool:
        """Whether the answer stands in the example too; of an item without one, whether the
        example asks nothing else.
        """
        if probe.item.answer:
            return contains(_text(example), with_plain_digits(probe.item.answer))
        is_all = comparable(example.wording) == comparable(probe.item.question)
        return is_all or (ratio == 1 and not probe.is_exact)


def drop_leaks(index: LeakIndex, note: Callable[[Leak], None] = lambda leak: None) -> Filter:
    """The filter that drops the examples into which an item of ``index`` leaks, naming it;
    ``note`` is given every leak.
    """

    def apply(examples: Iterable[Example]) -> Iterator[Example | Dropped]:
        for example, leaks in index.leaks(examples):
            for leak in leaks:
                note(leak)
            if not leaks:
                yield example
                continue
            first = leaks[0]
            more = f", and {len(leaks) - 1} more" if len(leaks) > 1 else ""
            evidence = (
                f"{first.source}{more}: {first.item} ({first.part}, {first.ratio:.0%} of it; "
                f"shared: {first.piece})"
            )
            yield dropped(example, "curation", LEAKS_BENCHMARK, evidence)

    return apply


def _text(example: Example) -> str:
    """All that training shows of an example, its numbers in digits."""
    whole = example.answer if example.is_text else f"{example.asked}\n{example.answer}"
    return with_plain_digits(whole)


def _distinct(items: Iterable[BenchmarkItem]) -> list[BenchmarkItem]:
    """The items that differ, the same ones with the sources of all."""
    found: dict[tuple[str, ...], BenchmarkItem] = {}
    for item in items:
        key = tuple(map(comparable, (item.question, item.answer, *sorted(item.choices))))
        same = found.get(key)
        if same is None:
            found[key] = item
        elif item.source not in same.source.split("; "):
            found[key] = replace(same, source=f"{same.source}; {item.source}")
    return list(found.values())


def _probes(items: Sequence[BenchmarkItem], answers_alone: bool) -> list[_Probe]:
    """What is looked for of each item."""
    parts = [_Parts(item) for item in items]
    for size in (_UNSPACED, _SPACED):
        of_size = [part for part in parts if part.size == size]
        for name in ("question", "answer", "choices"):
            for part, grams in zip(of_size, _grams([getattr(p, name) for p in of_size], size),
                                   strict=True):  # fmt: skip
                part.grams[name] = grams
    limit = min(_COMMON_MOST, max(_COMMON_LEAST, ceil(_COMMON_SHARE * len(parts))))
    every = np.concatenate([np.zeros(0, np.uint64), *(part.all_grams() for part in parts)])
    grams, having = np.unique(every, return_counts=True)
    asked: dict[str, int] = {}
    for part in parts:
        asked[part.question] = asked.get(part.question, 0) + 1
    found: list[_Probe] = []
    for part in parts:
        part.common = grams[having >= limit]
        found += part.probes(grams, having, asked[part.question] > 1, answers_alone)
    return found


def _read(text: str) -> str:
    return comparable(with_plain_digits(text))


def _is_dense(text: str) -> bool:
    """Whether few characters make a word of ``text``; hangul is as dense as kana, though words
    stand apart.
    """
    shares = script_shares(text)
    return sum(shares.get(name, 0.0) for name in (*UNSPACED_SCRIPTS, "hangul")) >= 0.5


class _Parts:
    """The parts of an item, comparable, and the n-grams of each."""

    def __init__(self, item: BenchmarkItem) -> None:
        self.item = item
        self.question, self.answer = _read(item.question), _read(item.answer)
        # Whoever takes a benchmark in may have put its choices into another order.
        self.choices = "\n".join(map(_read, item.choices))
        told = "".join((item.question, *item.choices)) or item.answer
        self.is_unspaced = _is_dense(told)
        self.size = _UNSPACED if self.is_unspaced else _SPACED
        self.grams: dict[str, _Hashes] = {}
        self.common: _Hashes = np.zeros(0, np.uint64)

    def all_grams(self) -> _Hashes:
        """Those of all parts, each once."""
        return np.unique(np.concatenate(list(self.grams.values())))

    def own(self, name: str) -> _Hashes:
        """The n-grams of a part that are not common, each once; neither is one that stands with
        half of it in what is common, for a benchmark may be found without its instruction.
        """
        grams = self.grams[name]
        is_common, is_covered = self._common_in(name)
        covered = np.append(0, np.cumsum(is_covered))
        inside = covered[self.size :] - covered[: len(covered) - self.size]
        return np.unique(grams[~is_common & (2 * inside[: len(grams)] < self.size)])

    def _common_in(self, name: str) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Which n-grams of a part are common, and which of its characters these cover. Those of
        the choices, which are several lines, cover nothing.
        """
        grams = self.grams[name]
        text = self.choices if name == "choices" else getattr(self, name)
        is_common = np.zeros(len(grams), bool)
        if len(self.common):
            places = np.minimum(np.searchsorted(self.common, grams), len(self.common) - 1)
            is_common = self.common[places] == grams
        steps = np.zeros(max(len(text), len(grams) + self.size) + 1, np.int64)
        if name != "choices":
            starts = np.flatnonzero(is_common)
            np.add.at(steps, starts, 1)
            np.add.at(steps, starts + self.size, -1)
        return is_common, np.cumsum(steps)[: len(steps) - 1] > 0

    def _numbers(self, name: str, start: int = 0) -> list[tuple[int, int]]:
        """Where the numbers of a part are that is not wholly common, from ``start`` on."""
        _, is_covered = self._common_in(name)
        return [
            (start + found.start(), start + found.end())
            for found in _NUMBER.finditer(getattr(self, name))
            if not is_covered[found.start() : found.end()].all()
        ]

    def probes(
        self, grams: _Hashes, having: npt.NDArray[np.int64], is_shared: bool, answers_alone: bool
    ) -> Iterator[_Probe]:
        """What is looked for. ``having`` tells of how many items each of ``grams`` is;
        ``is_shared``: another item asks the same question.
        """
        own, answer = self.own("question"), self.own("answer")
        is_short = len(self.question) < self._characters(_SHORT_QUESTION)
        is_enough = _is_enough(own, self.grams["question"])
        with_choices = np.union1d(own, self.own("choices"))
        asked = _Probe(self.item, "question", self.question, self.size, own)
        asked = replace(asked, numbers=tuple(self._numbers("question")))
        if is_enough and not is_short and not is_shared:
            yield asked
        elif self.choices and len(with_choices) >= _ENOUGH:
            text = f"{self.question}\n{self.choices}"
            places = self._numbers("question") + self._numbers("choices", len(self.question) + 1)
            yield _Probe(self.item, "whole", text, self.size, with_choices, numbers=tuple(places))
        elif len(own) >= _FEW:
            yield replace(asked, needs_answer=True)
        elif self.question:
            yield self._exact(grams, having, is_short or is_shared)
        is_long = len(self.answer) >= self._characters(_LONG_ANSWER)
        if answers_alone and is_long and _is_enough(answer, self.grams["answer"]):
            places = self._numbers("answer")
            yield _Probe(self.item, "answer", self.answer, self.size, answer, numbers=tuple(places))

    def _exact(self, grams: _Hashes, having: npt.NDArray[np.int64], needs_answer: bool) -> _Probe:
        """The question as it stands, found by its rarest n-gram."""
        size, found = self.size, self.grams["question"]
        if not len(found):
            size = min(_UNSPACED, len(self.question))
            (found,) = _grams([self.question], size)
            rarest = found[:1]
        else:
            rarest = found[[np.argmin(having[np.searchsorted(grams, found)])]]
        return _Probe(
            self.item, "question", self.question, size, np.unique(rarest), True, needs_answer
        )

    def _characters(self, count: int) -> int:
        return count if self.is_unspaced else count * _SPACED_FACTOR


def _is_enough(own: _Hashes, grams: _Hashes) -> bool:
    return len(own) >= _ENOUGH or (len(own) >= _FEW and 2 * len(own) >= len(grams))


def _grams(texts: Sequence[str], size: int) -> list[_Hashes]:
    """The hashes of the n-grams of each of ``texts``, which are comparable, in their order. A
    line break ends an n-gram.
    """
    lines = [(place, line) for place, text in enumerate(texts) for line in text.split("\n")]
    encoded = "".join(line for _, line in lines).encode("utf-32-le", "surrogatepass")
    counts = np.array([len(line) for _, line in lines], np.int64)
    owners, hashes = ngram_hashes(np.frombuffer(encoded, "<u4"), counts, size)
    of_text = np.array([place for place, _ in lines], np.int64)[owners]
    bounds = np.searchsorted(of_text, np.arange(len(texts) + 1))
    return [hashes[a:b] for a, b in pairwise(bounds)]


class _Table:
    """The n-grams of one size, sorted, and the probes that each belongs to."""

    def __init__(self, size: int, probes: Sequence[_Probe], threshold: float) -> None:
        mine = [number for number, probe in enumerate(probes) if probe.size == size]
        lengths = [len(probes[number].own) for number in mine]
        every = np.concatenate([probes[number].own for number in mine])
        order = np.argsort(every, kind="stable")
        self._size, self._count = size, len(probes)
        self._probes = np.repeat(np.array(mine, np.int64), lengths)[order]
        self._grams, self._starts, self._degrees = np.unique(
            every[order], return_index=True, return_counts=True
        )
        self._sieve = np.zeros(2**_SIEVE_BITS, bool)
        self._sieve[self._last(self._grams)] = True
        self._needed = np.zeros(len(probes), np.int64)
        self._needed[mine] = [max(1, ceil(round(threshold * length, 9))) for length in lengths]
        self._needed[[number for number in mine if probes[number].is_exact]] = 1

    def candidates(self, codes: np.ndarray, counts: np.ndarray) -> Iterator[tuple[int, int]]:
        """(text, probe) where the text has as many n-grams as a leak needs, wherever they are."""
        rows, hashes = ngram_hashes(codes, counts, self._size)
        passing = self._sieve[self._last(hashes)]
        rows, hashes = rows[passing], hashes[passing]
        places = np.minimum(np.searchsorted(self._grams, hashes), len(self._grams) - 1)
        is_known = self._grams[places] == hashes
        rows, places = rows[is_known], places[is_known]
        once = np.unique(rows * len(self._grams) + places)
        rows, places = np.divmod(once, len(self._grams))
        degrees = self._degrees[places]
        offsets = np.arange(degrees.sum()) - np.repeat(np.cumsum(degrees) - degrees, degrees)
        probes = self._probes[np.repeat(self._starts[places], degrees) + offsets]
        pairs, hits = np.unique(np.repeat(rows, degrees) * self._count + probes, return_counts=True)
        rows, probes = np.divmod(pairs, self._count)
        enough = hits >= self._needed[probes]
        yield from zip(rows[enough].tolist(), probes[enough].tolist(), strict=True)

    def _last(self, hashes: _Hashes) -> npt.NDArray[np.int64]:
        return (hashes & np.uint64(2**_SIEVE_BITS - 1)).astype(np.int64)


def _closest(text: str, probe: _Probe) -> tuple[float, str]:
    """The greatest share of the probe's own n-grams that stand in a stretch of ``text`` of twice
    its length, and that stretch, comparable.
    """
    codes, counts = comparable_codes([text])
    _, hashes = ngram_hashes(codes, counts, probe.size)
    at = np.flatnonzero(np.isin(hashes, probe.own))
    width = _WINDOW * len(probe.text)
    inside: dict[int, int] = {}
    best, span, first = 0, (0, 0), 0
    named = np.searchsorted(probe.own, hashes[at]).tolist()
    places = at.tolist()
    for last, gram in enumerate(named):
        inside[gram] = inside.get(gram, 0) + 1
        while places[last] - places[first] > width:
            inside[named[first]] -= 1
            if not inside[named[first]]:
                del inside[named[first]]
            first += 1
        if len(inside) > best:
            best, span = len(inside), (places[first], places[last])
    start, end = max(0, span[0] - probe.size), span[1] + 2 * probe.size
    window = codes[start:end].astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
    return best / len(probe.own), window


def _has_numbers(probe: _Probe, window: str, matcher: "SequenceMatcher[str]") -> bool:
    """Whether all numbers of the probe's own stand in ``window``, and at the same places of it
    where the order of the probe must hold.
    """
    wanted = {numeral_value(probe.text[start:end]) for start, end in probe.numbers}
    if not wanted <= {numeral_value(found.group()) for found in _NUMBER.finditer(window)}:
        return False
    if probe.part == "whole":
        return True
    same = np.zeros(len(probe.text), bool)
    for block in matcher.get_matching_blocks():
        same[block.a : block.a + block.size] = True
    return all(same[start:end].all() for start, end in probe.numbers)


def _names_another(probe: _Probe, window: str, matcher: "SequenceMatcher[str]") -> bool:
    """Whether a stretch of the probe stands in ``window`` in other letters that may be a name."""
    blocks = [b for b in matcher.get_matching_blocks() if b.size >= _OTHER_NAME[probe.size]]
    if not blocks:
        return False
    first, last = blocks[0], blocks[-1]
    end, other_end = last.a + last.size, last.b + last.size
    size = len(probe.text)
    pairs = [
        (one.a + one.size, two.a, window[one.b + one.size : two.b]) for one, two in pairwise(blocks)
    ]
    # What stands around the question is no part of it.
    pairs.append((0, first.a, window[max(0, first.b - first.a) : first.b]))
    pairs.append((end, size, window[other_end : other_end + size - end]))
    # A benchmark may be found without its instruction, which is nobody's own.
    (grams,) = _grams([probe.text], probe.size)
    is_own = np.isin(grams, probe.own)
    return any(
        _is_another(probe, start, end, other)
        for start, end, other in pairs
        if start < end and 2 * is_own[start:end].sum() >= len(is_own[start:end])
    )


def _is_another(probe: _Probe, start: int, end: int, other: str) -> bool:
    """Whether ``other`` may be a name in the place of this stretch of the probe. Kanji are not
    mistaken one for one; hiragana is grammar, unless kanji follow close behind (あおば丸).
    """
    own = probe.text[start:end]
    if _ONE_KANJI.fullmatch(own) and _ONE_KANJI.fullmatch(other):
        return True
    if min(len(own), len(other)) < _OTHER_NAME[probe.size]:
        return False
    if all(script(character) == "hiragana" for character in own):
        is_alike = all(script(c) == "hiragana" for c in other) and len(own) == len(other)
        return is_alike and _NAME_IN_HIRAGANA.match(probe.text, end) is not None
    return any(character.isalpha() for character in own)
