"""What a person reads while a stage runs is true of the stage."""

import io
import re

import pytest

from teichaku.recipes.progress import Pace, Plain, beyond, duration


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
    assert first == "▶ questions: 2 records (2 requests to send)"
    assert re.match(r"  questions: 2/2, \d+ tokens/s", second)
    assert re.match(r"  questions: 3/3, ", third)
    assert last == "✔ questions: 3 in, 3 out"
