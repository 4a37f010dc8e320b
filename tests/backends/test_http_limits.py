import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teichaku.backends.http_limits import AdaptiveLimit, Latencies, Watchdog


def test_a_limit_doubles_each_round_until_it_is_reached() -> None:
    limit = AdaptiveLimit(256, first=32)
    reached = []
    for _ in range(4):
        for _ in range(limit.allowed):
            limit.answered()
        reached.append(limit.allowed)
    assert reached == [64, 128, 256, 256]


def test_a_burst_of_refusals_makes_a_limit_smaller_once() -> None:
    limit = AdaptiveLimit(256, first=256)
    for _ in range(256):
        limit.refused(sent=1.0, now=2.0)
    assert limit.allowed == 128


def test_refusals_of_what_was_sent_later_make_it_smaller_again_down_to_one() -> None:
    limit = AdaptiveLimit(256)
    for moment in range(1, 100):
        for _ in range(8):
            assert limit.refused(sent=float(moment), now=moment + 0.5)
    assert limit.allowed == 1


def test_after_a_refusal_a_limit_grows_by_a_fixed_step_a_round() -> None:
    limit = AdaptiveLimit(256, first=256)
    for _ in range(256):
        limit.refused(sent=1.0, now=2.0)
    for expected in (136, 144, 152):
        for _ in range(limit.allowed):
            limit.answered()
        assert limit.allowed == expected


def test_a_few_refusals_among_many_replies_are_the_luck_of_single_requests() -> None:
    limit = AdaptiveLimit(256, first=256)
    crowded = []
    for number in range(10_000):
        limit.answered()
        if number % 50 == 49:
            crowded.append(limit.refused(sent=float(number), now=float(number)))
    assert limit.allowed == 256
    # As long as little is known, the server is taken at its word.
    assert crowded == [True] + [False] * 199


def test_a_limit_does_not_grow_while_replies_are_slow() -> None:
    limit = AdaptiveLimit(256)
    for _ in range(1000):
        limit.answered(may_grow=False)
    assert limit.allowed == 32


@given(
    st.integers(1, 2000),
    st.lists(st.tuples(st.booleans(), st.floats(0, 100), st.floats(0, 100))),
)
def test_a_limit_stays_between_one_and_the_most(
    most: int, outcomes: list[tuple[bool, float, float]]
) -> None:
    limit = AdaptiveLimit(most)
    for good, sent, now in outcomes:
        if good:
            limit.answered()
        else:
            limit.refused(sent, now)
        assert 1 <= limit.allowed <= most


def test_a_request_is_stuck_after_four_times_the_99th_percentile() -> None:
    latencies = Latencies(Watchdog(factor=4, floor_seconds=1))
    for number in range(1000):
        latencies.add(9, 2.0 if number < 990 else 50.0)
    assert latencies.stuck_after(9, in_flight=1) == pytest.approx(8.0)


@pytest.mark.parametrize(("replies", "in_flight"), [(99, 1), (150, 256), (999, 5000)])
def test_nothing_is_stuck_before_a_round_of_replies_is_known(replies: int, in_flight: int) -> None:
    latencies = Latencies(Watchdog())
    for _ in range(replies):
        latencies.add(9, 0.1)
    assert latencies.stuck_after(9, in_flight) == math.inf
    latencies.add(9, 0.1)
    assert (latencies.stuck_after(9, in_flight) == 20) == (replies + 1 >= min(in_flight, 1000))


def test_requests_that_may_write_much_are_compared_with_their_like() -> None:
    latencies = Latencies(Watchdog())
    for _ in range(1000):
        latencies.add(9, 10.0)
        latencies.add(14, 100.0)
    assert latencies.stuck_after(9, 1) == 40
    assert latencies.stuck_after(14, 1) == 400
    assert latencies.stuck_after(11, 1) == math.inf
