"""Time and memory of curation against the number of records, from ten thousand to a million.

    python bench/growth.py [--records N ...] [--engine NAME] [--workers N] [--figure FILE]
                           [--folder DIR]

Records are the Japanese texts of about 300 characters of bench/near_duplicates_data.py, with its
planted pairs, in Parquet files of 50,000. One in 200 is a form filled in: all of these are the
same but for a name, so that each is like all others and none may fall for another. Each record
has a vector of 256 dimensions: one of 1,000 topics with noise, and of every tenth record nearly
that of another one. They go through
``teichaku curate``: rules, exact, near and semantic duplicates by the given vectors, and D4 at a
half, in a process of its own with its workers, reading and writing included; the making of the
records is not.

What is not measured: the vectors are made apart from the texts, so two records whose vectors are
alike tell of different things, and the guard of ``semantic_duplicates``, which would protect nearly
all of them, is off. Of the rules ``question_is_answer`` (the records are running text),
``mixed_languages`` and ``personal_data`` are left out, and D4 brings no controls.

``seconds``      from the start of the process to its end.
``peak_mib``     the most memory of the process and its workers at any time, looked at ten times a
                 second: proportional set size, in which a page that several share counts once,
                 and pages of mapped files count too.
``anonymous``    the part of it that is no file, which a machine cannot take back.
``disk_mib``     the result at its end. While a decision is made its sketches are there once more.
``slope``        of seconds against records, both as logarithms, by least squares: 1 is linear.
``last_slope``   the same between the two largest sizes, where the start counts least.
``lost``         records that are in no file of examples/ or dropped/, by what the files say of
                 themselves.
``forms_lost``   forms filled in that fell as near duplicates, though each has a name of its own.

The last line is one JSON object; the exit code is 1 where a size takes 2 GiB or more, time grows
faster than records ** 1.1 by either slope, or records got lost. ``--figure`` (default: growth.svg
beside this file) is drawn where there are two sizes or more.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

SIZES = (10_000, 100_000, 1_000_000)
PEAK_MIB, SLOPE = 2048, 1.1
FILE_RECORDS, DIMENSIONS, TOPICS = 50_000, 256, 1000
KATAKANA = "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモラリルレロ"
#: One record in so many is this form with a name.
FORM_EVERY = 200
FORM = (
    "このたびは当館の会員にお申し込みくださり、ありがとうございます。ご登録のお名前は{}様です。"
    "会員証は窓口でお渡ししますので、身分を証明できるものをお持ちください。"
    "有効期限が切れる前に更新の手続きをしていただくと、割引が受けられます。"
    "住所や電話番号が変わったときは、受付までお知らせください。"
)
CURATION = {
    "language": "ja",
    "curation": [
        "language", "broken_characters", "model_talk", "markup", "length", "repetition",
        "duplicates", "near_duplicates",
        {"name": "semantic_duplicates", "threshold": 0.95, "guard": False},
    ],
    "select": {"method": "d4", "share": 0.5},
    "vectors": "vector",
}  # fmt: skip


def make_records(folder: Path, records: int) -> None:
    """Write the records, a file at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    topics = np.random.default_rng(0).normal(size=(TOPICS, DIMENSIONS))
    for number, start in enumerate(range(0, records, FILE_RECORDS)):
        count = min(FILE_RECORDS, records - start)
        texts = make_texts(count, number)
        vectors = make_vectors(count, topics, np.random.default_rng(number + 1))
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIMENSIONS)
        table = pa.table({"text": texts, "vector": column})
        pq.write_table(table, folder / f"records-{number:04d}.parquet", row_group_size=10_000)


def make_texts(count: int, seed: int) -> list[str]:
    """Texts, some of them forms filled in."""
    from near_duplicates_data import build

    texts = [text for _, text in build(count, seed)[0]]
    random = Random(seed)
    for place in range(0, count, FORM_EVERY):
        letters = random.choices(range(len(KATAKANA)), k=6)
        # With a check letter no two names are one slip apart.
        letters.append(sum(letters) % len(KATAKANA))
        texts[place] = FORM.format("".join(KATAKANA[letter] for letter in letters))
    return texts


def make_vectors(count: int, topics: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Unit vectors around topics, of which every tenth is nearly another one."""
    vectors = topics[random.integers(len(topics), size=count)]
    vectors = vectors + random.normal(scale=1.2, size=vectors.shape)
    copies = random.choice(count, count // 10, replace=False)
    vectors[copies] = vectors[random.integers(count, size=len(copies))]
    vectors += random.normal(scale=0.05, size=vectors.shape)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / lengths, np.float32)


def curate(source: Path, out: Path, engine: str, workers: int) -> None:
    """What is measured; its counts and the seconds of its steps as a line of JSON."""
    from contextlib import closing

    from teichaku.recipes.curate import make_executor, run_curation
    from teichaku.recipes.curate_schema import Curation
    from teichaku.recipes.progress import Plain

    config = Curation.model_validate(CURATION)
    with closing(make_executor(engine, workers)) as executor:
        done = run_curation([source], config, out, executor, Plain(sys.stderr))
    steps = {step.name: round(step.seconds, 1) for step in done.steps}
    counts = {"in": done.taken, "out": done.given, "reasons": done.reasons}
    print(json.dumps({**counts, "not_done": len(done.not_done), "step_seconds": steps}))


class Memory:
    """The memory of a process and all below it, looked at until :meth:`stop`."""

    def __init__(self, pid: int) -> None:
        self.peak_kib = self.peak_anonymous_kib = 0
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no longer."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            shares = [proportional(pid) for pid in tree(self._pid)]
            self.peak_kib = max(self.peak_kib, sum(total for total, _ in shares))
            anonymous = sum(part for _, part in shares)
            self.peak_anonymous_kib = max(self.peak_anonymous_kib, anonymous)


def tree(pid: int) -> list[int]:
    """A process and all that it, and these, started."""
    found = [pid]
    for parent in found:
        try:
            for thread in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (thread / "children").read_text().split())
        except OSError:
            continue
    return found


def proportional(pid: int) -> tuple[int, int]:
    """The proportional set size of a process and the anonymous part of it, in KiB; 0 where it
    has ended.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0, 0
    values = {name: int(rest.split()[0]) for name, _, rest in (x.partition(":") for x in lines[1:])}
    return values["Pss"], values["Pss_Anon"]


def count_rows(out: Path) -> int:
    """The rows of the examples and of what was dropped, by the footers of their files."""
    import pyarrow.parquet as pq

    files = (file for name in ("examples", "dropped") for file in (out / name).rglob("*.parquet"))
    return sum(pq.read_metadata(file).num_rows for file in files)


def count_forms(out: Path) -> int:
    """The forms among the near duplicates that fell."""
    import pyarrow.parquet as pq

    found = 0
    for file in (out / "dropped").rglob("*.parquet"):
        table = pq.read_table(file, columns=["reason", "record"]).to_pydict()
        sides = zip(table["reason"], table["record"], strict=True)
        found += sum(reason == "near_duplicate" and FORM[:20] in text for reason, text in sides)
    return found


def measure(records: int, engine: str, workers: int, folder: Path | None) -> dict[str, Any]:
    """One size."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        source, out = Path(place) / "records", Path(place) / "out"
        # In a process of its own, so that its memory is not ours.
        call = [sys.executable, __file__]
        subprocess.run([*call, "--make", str(source), "--records", str(records)], check=True)
        begun = time.monotonic()
        options = ["--engine", engine, "--workers", str(workers)]
        child = subprocess.Popen(
            [*call, "--curate", str(source), str(out), *options], stdout=subprocess.PIPE, text=True
        )
        memory = Memory(child.pid)
        told, _ = child.communicate()
        memory.stop()
        seconds = time.monotonic() - begun
        if child.returncode:
            raise SystemExit(f"the curation of {records} records ended with {child.returncode}")
        counts = json.loads(told)
        size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        lost, forms_lost = records - count_rows(out), count_forms(out)
    return {
        "records": records,
        "seconds": round(seconds, 1),
        "microseconds_per_record": round(seconds / records * 1e6),
        "peak_mib": round(memory.peak_kib / 1024),
        "anonymous_mib": round(memory.peak_anonymous_kib / 1024),
        "disk_mib": round(size / 2**20),
        "lost": lost,
        "forms_lost": forms_lost,
        **counts,
        "ok": lost == forms_lost == counts["not_done"] == 0 and memory.peak_kib < PEAK_MIB * 1024,
    }


def slope(found: Sequence[dict[str, Any]]) -> float | None:
    """Of time against records, by least squares on logarithms; None of one size."""
    if len(found) < 2:
        return None
    sides = [[math.log(one[key]) for one in found] for key in ("records", "seconds")]
    return float(np.polyfit(sides[0], sides[1], 1)[0])


def draw(found: Sequence[dict[str, Any]], path: Path) -> None:
    """Time and memory against records."""
    import altair as alt

    sizes = [one["records"] for one in found]
    # Through the largest: at the smallest, much of the time is the start.
    straight = found[-1]["seconds"] / sizes[-1]
    rows = [
        {"records": one["records"], "what": what, "seconds": value}
        for one in found
        for what, value in (("measured", one["seconds"]), ("linear", straight * one["records"]))
    ]
    memory = [
        {"records": one["records"], "what": what, "MiB": one[key]}
        for one in found
        for what, key in (("all", "peak_mib"), ("anonymous", "anonymous_mib"))
    ]
    axis = alt.X("records:Q", scale=alt.Scale(type="log"), axis=alt.Axis(values=sizes, format=","))
    log = alt.Scale(type="log")
    colour = alt.Color("what:N", title=None)

    def lines(data: list[dict[str, Any]], y: Any, title: str) -> Any:
        made = alt.Chart(alt.Data(values=data)).mark_line(point=True)
        return made.encode(x=axis, y=y, color=colour).properties(width=320, height=240, title=title)

    limit = alt.Chart(alt.Data(values=[{"MiB": PEAK_MIB}])).mark_rule(strokeDash=[4, 4])
    peak = lines(memory, alt.Y("MiB:Q"), "Peak memory of all processes")
    figure = alt.hconcat(
        lines(rows, alt.Y("seconds:Q", scale=log), "Time from start to end"),
        peak + limit.encode(y="MiB:Q"),
    ).resolve_scale(color="independent")
    figure.save(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--engine", default="processes")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--figure", type=Path, default=Path(__file__).with_suffix(".svg"))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--curate", type=Path, nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.make:
        make_records(chosen.make, chosen.records[0])
        return 0
    if chosen.curate:
        curate(chosen.curate[0], chosen.curate[1], chosen.engine, chosen.workers)
        return 0
    found = []
    for records in sorted(chosen.records):
        found.append(measure(records, chosen.engine, chosen.workers, chosen.folder))
        print(json.dumps(found[-1], ensure_ascii=False), flush=True)
    slopes = {"slope": slope(found), "last_slope": slope(found[-2:])}
    if len(found) > 1:
        draw(found, chosen.figure)
    grows = any(value is not None and value > SLOPE for value in slopes.values())
    ok = all(one["ok"] for one in found) and not grows
    summary = {
        "name": f"curation of {found[-1]['records']:,} records, peak MiB",
        "value": found[-1]["peak_mib"],
        "target": PEAK_MIB,
        "ok": ok,
        **{name: None if value is None else round(value, 3) for name, value in slopes.items()},
        "sizes": found,
    }
    print(json.dumps(summary, ensure_ascii=False))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
