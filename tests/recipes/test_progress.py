"""What a person reads while a stage runs is true of the stage."""

import io
import re
from pathlib import Path

import pytest

from studies import run_study, write_study
from teichaku.recipes import counts
from teichaku.recipes.progress import Pace, Plain, about, beyond, duration, to_send


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s"), (3600 * 3 + 60 * 10, "3 h 10 min")],
)
def test_durations_are_read_at_a_glance(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_stage_that_asks_again_counts_to_its_new_total() -> None:
    pace = Pace(3)
    pace.advance(3, 0)
    pace.expect_more(2)
    pace.advance(1, 0)
    assert pace.text().startswith("4/5")
    assert "left" in pace.text()


@pytest.mark.parametrize("told", [[3, 4, 5, 0, 2], [14], [10, 4], [1] * 14])
def test_a_stage_with_an_estimate_grows_only_where_more_comes(told: list[int]) -> None:
    pace = Pace(10)
    more = beyond(10, pace.expect_more)
    for count in told:
        before = pace.total
        more(count)
        assert before is not None and pace.total is not None and pace.total >= before
    assert pace.total == 14
    short = Pace(10)
    beyond(10, short.expect_more)(7)
    assert short.total == 10


def test_a_stage_of_unknown_length_tells_no_total() -> None:
    pace = Pace(None)
    pace.expect_more(2)
    pace.advance(7, 0)
    assert pace.text() == "7"


def test_the_log_tells_stage_count_and_end() -> None:
    out = io.StringIO()
    plain = Plain(out, every_seconds=0)
    plain.begin("questions", 2, "2 requests to send")
    plain.advance(2, 30)
    plain.expect_more(1)
    plain.advance(1, 30)
    plain.end("questions", "3 in, 3 out")
    first, second, third, last = out.getvalue().splitlines()
    assert first == "▶ questions: 2 requests (2 requests to send)"
    assert re.match(r"  questions: 2/2, \d+ tokens/s", second)
    assert re.match(r"  questions: 3/3, ", third)
    assert last == "✔ questions: 3 in, 3 out"


def test_a_stage_says_what_it_counts_and_one_of_it() -> None:
    out = io.StringIO()
    plain = Plain(out)
    plain.begin("training/qa", 56, unit=counts.steps)
    plain.begin("vectors", 1, unit=counts.examples)
    assert out.getvalue().splitlines() == ["▶ training/qa: 56 steps", "▶ vectors: 1 example"]


def test_progress_is_in_the_language_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEICHAKU_LANG", "ja")
    out = io.StringIO()
    plain = Plain(out, every_seconds=0)
    plain.begin("synthesis/qa", 4, to_send(3, 1) + about(170))
    plain.advance(1, 30)
    first, second = out.getvalue().splitlines()
    told = "送信するリクエスト 3 件、キャッシュから 1 件、約 2 分 50 秒"
    assert first == f"▶ synthesis/qa: リクエスト 4 件 ({told})"
    assert re.match(r"  synthesis/qa: 1/4、毎秒 \d+ トークン、残り \d+ 秒", second)


def test_a_run_in_japanese_says_no_english_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TEICHAKU_LANG", "ja")
    out = io.StringIO()
    run_study(write_study(tmp_path), progress=Plain(out, every_seconds=0))
    told = out.getvalue()
    assert "▶ questions/held_out: リクエスト" in told
    for line in told.splitlines():
        # Names of stages, codes of reasons, file names: but never words in a row.
        assert not re.search(r"[a-z]{3,} [a-z]{2,} [a-z]{2,}", line), line
