"""Near-duplicates among Japanese records, end to end, beside other tools.

    python bench/near_duplicates.py [--records N] [--sides NAME ...] [--quick]

The records and the planted pairs are described in bench/near_duplicates_data.py. Each side is a
process of its own on one core: it reads a Parquet file (id, text), finds what is a duplicate at a
Jaccard similarity of .8 of character 5-grams, and writes the records that stay as Parquet; its
time is from before the reading to after the writing, imports left out. There are three rounds,
every other one in the opposite order, because the speed of a machine drifts; sides that take
more than 20 s run in the first alone. The median of a side's rates counts, ours and theirs alike.
What a side merged is judged from its file.

``teichaku``       sketches, candidates, verification, guard, survivors: the functions of the
                   library on one level, the whole text, in one process; neither the filter of a
                   recipe with its levels and documents nor ``teichaku curate``.
``rensa``          as its README shows: lists of 5-grams, ``RMinHashDeduplicator`` with LSH.
``rensa-hashed``   rensa's digests with all else written by hand for speed: 5-grams hashed by numpy
                   in one flat array, a digest matrix, 16 bands, flags for all that have a partner
                   in one call; of these the first of each bucket stays, and nothing is verified.
``datasketch``     ``update_batch`` on 5-grams, ``MinHashLSH``, each record asked before it is put
                   in. 128 permutations, as for rensa.
``semhash``        given vectors (hashed character 3-grams, 256 dimensions; its default model is
                   not packaged), at the cosine that equal sets of that similarity have.

``recall``     share of the planted duplicates (exact, one character, reordered) of which one fell.
``precision``  share of what fell that is one of those.
``protected_merged``  how many of 40 pairs of each kind in a second set we merge, though they are no
               duplicates: signs, units, symbols, bare names, and what the guard does not see.
               Other tools have no guard.
The last line is one JSON object; the exit code is 1 where a target is missed. ``--quick`` takes
2,000 records and judges what fell alone, since times of so few say nothing.
"""

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

THRESHOLD, SIZE, PERMUTATIONS, BANDS = 0.8, 5, 128, 16
ROUNDS, SLOW_SECONDS, PROTECTED_EACH = 3, 20, 40
TARGETS = {"records_per_second": 10_000, "of_fastest_peer": 1.2, "recall": 0.99, "precision": 0.99}
#: Of libraries that would start threads of their own.
ONE_CORE = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1"
)
Side = Callable[[list[str], list[str]], list[bool]]


def teichaku(ids: list[str], texts: list[str]) -> list[bool]:
    from teichaku.curation.near_duplicates import FLOOR, near_pairs
    from teichaku.curation.sketches import sketch
    from teichaku.curation.survivors import survivors
    from teichaku.curation.text_store import TextList

    found = near_pairs(sketch(texts, FLOOR), TextList(texts), FLOOR)
    fallen = survivors(ids, found.records(ids, "text"), {"text": THRESHOLD})
    return [name not in fallen for name in ids]


def rensa(ids: list[str], texts: list[str]) -> list[bool]:
    from rensa import RMinHashDeduplicator

    deduplicator = RMinHashDeduplicator(THRESHOLD, PERMUTATIONS, True, BANDS)
    stay: list[bool] = deduplicator.add_pairs(
        (name, ngrams(text)) for name, text in zip(ids, texts, strict=True)
    )
    return stay


def rensa_hashed(ids: list[str], texts: list[str]) -> list[bool]:
    import numpy as np
    from rensa import RMinHash, RMinHashLSH

    hashes, offsets = [], [np.zeros(1, np.uint64)]
    stream = map(plain, texts)
    while block := list(islice(stream, 256)):
        found, counts = hashed_ngrams(block)
        hashes.append(found)
        offsets.append(offsets[-1][-1] + np.cumsum(counts, dtype=np.uint64))
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        np.concatenate(hashes), np.concatenate(offsets), PERMUTATIONS, 42
    )
    index = RMinHashLSH(THRESHOLD, PERMUTATIONS, BANDS)
    # The flags are of all that have a partner; of those the first of each bucket stays.
    flags = index.query_duplicate_flags_matrix_one_shot(matrix)
    digests = np.array(matrix.to_rows(), np.uint32)[np.array(flags)]
    bands = digests.reshape(len(digests), BANDS, -1)
    seen: set[tuple[int, bytes]] = set()
    stay = [not flag for flag in flags]
    for place, row in zip(np.flatnonzero(flags).tolist(), bands, strict=True):
        keys = {(band, row[band].tobytes()) for band in range(BANDS)}
        stay[place] = seen.isdisjoint(keys)
        if stay[place]:
            seen |= keys
    return stay


def datasketch(ids: list[str], texts: list[str]) -> list[bool]:
    from datasketch import MinHash, MinHashLSH

    index, stay = MinHashLSH(THRESHOLD, PERMUTATIONS), []
    for name, text in zip(ids, texts, strict=True):
        sketch = MinHash(PERMUTATIONS)
        sketch.update_batch([ngram.encode() for ngram in set(ngrams(text))])
        stay.append(not index.query(sketch))
        if stay[-1]:
            index.insert(name, sketch)
    return stay


def semhash(ids: list[str], texts: list[str]) -> list[bool]:
    from semhash import SemHash

    encoder = Hashing()
    rows = [{"id": name, "text": plain(text)} for name, text in zip(ids, texts, strict=True)]
    index = SemHash.from_embeddings(
        encoder.encode([row["text"] for row in rows]), rows, encoder, ["text"]
    )
    cosine = 2 * THRESHOLD / (1 + THRESHOLD)
    kept = {row["id"] for row in index.self_deduplicate(cosine).selected}
    return [name in kept for name in ids]


SIDES: dict[str, tuple[str, Side]] = {
    "teichaku": ("teichaku", teichaku),
    "rensa-hashed": ("rensa", rensa_hashed),
    "rensa": ("rensa", rensa),
    "datasketch": ("datasketch", datasketch),
    "semhash": ("semhash", semhash),
}


class Hashing:
    """An encoder for semhash that needs no model: counts of hashed character 3-grams."""

    dimensions = 256

    def encode(self, inputs: Sequence[Any] | Any, **_: Any) -> Any:
        """An (n, 256) array of rows of unit length."""
        import numpy as np

        texts = list(inputs)
        rows = np.zeros((len(texts), self.dimensions), np.float32)
        for start in range(0, len(texts), 256):
            hashes, counts = hashed_ngrams(texts[start : start + 256], 3)
            owners = np.repeat(np.arange(len(counts)), counts)
            places = owners * self.dimensions + (hashes % np.uint64(self.dimensions)).astype(int)
            signs = np.where(hashes >> np.uint64(63), 1.0, -1.0)
            sums = np.bincount(places, signs, len(counts) * self.dimensions)
            rows[start : start + len(counts)] = sums.reshape(len(counts), -1)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def plain(text: str) -> str:
    """What a user of the others would compare: NFKC, lower case, letters and digits."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).lower())


def ngrams(text: str) -> list[str]:
    text = plain(text)
    return [text[start : start + SIZE] for start in range(max(1, len(text) - SIZE + 1))]


def hashed_ngrams(texts: Sequence[str], size: int = SIZE) -> tuple[Any, Any]:
    """Hashes of the n-grams of all texts, and how many each text has."""
    import numpy as np

    lengths = np.array([len(text) for text in texts])
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), "<u4").astype(np.uint64)
    owner = np.repeat(np.arange(len(texts)), lengths)
    last = len(codes) - size + 1
    hashes = np.zeros(last, np.uint64)
    for place in range(size):
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + codes[place : place + last]
    hashes ^= hashes >> np.uint64(31)
    inside = owner[:last] == owner[size - 1 :]
    return hashes[inside], np.bincount(owner[:last][inside], minlength=len(texts))


def run_side(name: str, source: Path, target: Path) -> None:
    """The process of one side: what it took, as JSON on the last line."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    pa.set_cpu_count(1)
    package, side = SIDES[name]
    __import__(package)
    if package == "teichaku":
        import teichaku.curation.near_duplicates  # noqa: F401
    start, start_cpu = time.perf_counter(), time.process_time()
    table = pq.read_table(source, use_threads=False, pre_buffer=False)
    stay = side(table["id"].to_pylist(), table["text"].to_pylist())
    pq.write_table(table.filter(pa.array(stay)), target, use_dictionary=False)
    seconds, processor = time.perf_counter() - start, time.process_time() - start_cpu
    status = Path("/proc/self/status")  # getrusage would give what the parent had at the fork
    peak = re.search(r"VmHWM:\s*(\d+)", status.read_text()) if status.exists() else None
    mib = int(peak[1]) / 1024 if peak else 0
    print(json.dumps({"seconds": seconds, "processor_seconds": processor, "peak_mib": mib}))


def measure(name: str, source: Path, folder: Path, planted: Sequence[Any]) -> dict[str, Any]:
    """What a side took, and what it merged."""
    import pyarrow.parquet as pq

    target = folder / f"{name}.parquet"
    command = [sys.executable, __file__, "--side", name, str(source), str(target)]
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **ONE_CORE}
    )
    if ran.returncode:
        reason = ran.stderr.strip().splitlines()[-1:] or ["no message"]
        raise RuntimeError(f"{name} failed: {reason[0]}")
    took = json.loads(ran.stdout.splitlines()[-1])
    ids = set(pq.read_table(source, columns=["id"])["id"].to_pylist())
    stay = set(pq.read_table(target, columns=["id"])["id"].to_pylist())
    return {"name": name, "rate": len(ids) / took["seconds"], **took, **judge(ids, stay, planted)}


def judge(ids: set[str], stay: set[str], planted: Sequence[Any]) -> dict[str, Any]:
    """Recall, precision, and the share of the pairs of each kind of which one fell."""
    from near_duplicates_data import DUPLICATES, KINDS

    merged = {
        kind: [
            pair for pair in planted if pair.kind == kind and not {pair.first, pair.second} <= stay
        ]
        for kind in KINDS
    }
    sizes = {kind: sum(pair.kind == kind for pair in planted) for kind in KINDS}
    right = sum(
        bool({pair.first, pair.second} & stay) for kind in DUPLICATES for pair in merged[kind]
    )
    return {
        "recall": right / sum(sizes[kind] for kind in DUPLICATES),
        "precision": right / max(1, len(ids - stay)),
        "merged": {kind: f"{len(merged[kind])} of {sizes[kind]}" for kind in KINDS},
        "changed_numbers_merged": len(merged["changed number"]),
    }


def protected(each: int) -> dict[str, str]:
    """Of the pairs of each kind that are no duplicates, but unlike those of the main set, how
    many we merge.
    """
    from near_duplicates_data import build_protected

    records, pairs = build_protected(each)
    names, texts = ([record[side] for record in records] for side in (0, 1))
    stays = dict(zip(names, teichaku(names, texts), strict=True))
    merged: dict[str, int] = {}
    for pair in pairs:
        lost = not (stays[pair.first] and stays[pair.second])
        merged[pair.kind] = merged.get(pair.kind, 0) + lost
    return {kind: f"{count} of {each}" for kind, count in merged.items()}


def nearest_unplanted(records: Sequence[tuple[str, str]], planted: Sequence[Any]) -> float:
    """The highest similarity of 100 of the records that were not planted to any other of them,
    by sets, without a sketch.
    """
    known = {name for pair in planted for name in (pair.first, pair.second)}
    sets = [frozenset(ngrams(text)) for name, text in records if name not in known]
    holders: dict[str, list[int]] = {}
    for place, shingles in enumerate(sets[:100]):
        for shingle in shingles:
            holders.setdefault(shingle, []).append(place)
    best = 0.0
    for place, shingles in enumerate(sets):
        shared: dict[int, int] = {}
        for shingle in shingles & holders.keys():
            for holder in holders[shingle]:
                shared[holder] = shared.get(holder, 0) + 1
        for holder, count in shared.items():
            if holder != place:
                best = max(best, count / (len(shingles) + len(sets[holder]) - count))
    return best


def measured(names: Sequence[str], count: int) -> Iterator[dict[str, Any]]:
    """The figures of each run of a side."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from near_duplicates_data import build

    records, planted = build(count)
    with tempfile.TemporaryDirectory() as made:
        source = Path(made) / "records.parquet"
        columns = {"id": [name for name, _ in records], "text": [text for _, text in records]}
        # Texts that are all different are no matter for a dictionary.
        pq.write_table(pa.table(columns), source, use_dictionary=False)
        length = sum(map(len, columns["text"])) / count
        print(f"{count:,} records of {length:.0f} characters, {len(planted):,} planted pairs")
        nearest = nearest_unplanted(records, planted)
        print(f"nearest of 100 unplanted records to another: {nearest:.2f}")
        present = [name for name in names if is_there(name)]
        slow: set[str] = set()
        for turn in range(ROUNDS):
            for name in present[:: -1 if turn % 2 else 1]:
                if name in slow:
                    continue
                found = measure(name, source, Path(made), planted)
                tell(found)
                yield found
                if found["seconds"] > SLOW_SECONDS:
                    slow.add(name)


def is_there(name: str) -> bool:
    """Whether the package of a side is installed; says so where it is not."""
    package = SIDES[name][0]
    if importlib.util.find_spec(package) is None:
        print(f"{name:13} left out: pip install {package}")
        return False
    return True


def tell(found: Mapping[str, Any]) -> None:
    merged = ", ".join(f"{kind} {share}" for kind, share in found["merged"].items())
    share = found["processor_seconds"] / found["seconds"]
    print(
        f"{found['name']:13} {found['rate']:8,.0f} records/s ({share:.0%} of a core)  "
        f"{found['peak_mib']:6,.0f} MiB  recall {found['recall']:.4f}  "
        f"precision {found['precision']:.4f}  merged: {merged}",
        flush=True,
    )


def summary(found: Sequence[dict[str, Any]], times_count: bool) -> dict[str, Any]:
    """What the figures say beside the targets."""
    ours = [side for side in found if side["name"] == "teichaku"]
    rates: dict[str, list[int]] = {}
    for side in found:
        rates.setdefault(side["name"], []).append(round(side["rate"]))
    peers = {name: median(values) for name, values in rates.items() if name != "teichaku"}
    rate = median(rates["teichaku"])
    values = {
        "records_per_second": rate,
        "of_fastest_peer": rate / max(peers.values()) if peers else None,
        "recall": min(side["recall"] for side in ours),
        "precision": min(side["precision"] for side in ours),
    }
    judged = TARGETS if times_count else {"recall": 0.99, "precision": 0.99}
    is_ok = all((values[name] or 0.0) >= target for name, target in judged.items())
    merged = max(side["changed_numbers_merged"] for side in ours)
    return {
        "name": "near_duplicates",
        "value": round(rate),
        "target": TARGETS["records_per_second"],
        "ok": is_ok and merged == 0,
        **{name: value and round(value, 4) for name, value in values.items()},
        "changed_numbers_merged": merged,
        "peak_mib": round(max(side["peak_mib"] for side in ours)),
        "peers": peers,
        "rates": rates,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--sides", nargs="+", choices=list(SIDES), default=list(SIDES))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--side", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run_side(options.side[0], Path(options.side[1]), Path(options.side[2]))
        return 0
    sides = ["teichaku", *(name for name in options.sides if name != "teichaku")]
    count = 2_000 if options.quick else options.records
    found = summary(list(measured(sides, count)), times_count=not options.quick)
    found["protected_merged"] = protected(PROTECTED_EACH)
    told = ", ".join(f"{kind} {share}" for kind, share in found["protected_merged"].items())
    print(f"teichaku, other kinds that are no duplicates, merged: {told}")
    print(json.dumps(found))
    return 0 if found["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
