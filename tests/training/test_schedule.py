import pytest
from hypothesis import given
from hypothesis import strategies as st

from teichaku.training.schedule import ScheduleKind, learning_rate

KINDS: list[ScheduleKind] = ["cosine", "constant"]


@given(st.integers(1, 500), st.floats(0, 1), st.sampled_from(KINDS))
def test_every_rate_is_above_zero_and_at_most_the_peak(
    total: int, warmup_share: float, kind: ScheduleKind
) -> None:
    rates = [learning_rate(step, total, 2e-4, warmup_share, kind) for step in range(1, total + 1)]
    assert min(rates) > 0
    assert max(rates) == pytest.approx(2e-4)


def test_the_rate_rises_in_a_straight_line() -> None:
    rates = [learning_rate(step, 20, 1.0, 0.2, "cosine") for step in range(1, 5)]
    assert rates == [0.25, 0.5, 0.75, 1.0]


def test_a_cosine_falls_to_almost_nothing() -> None:
    rates = [learning_rate(step, 100, 1.0, 0.1, "cosine") for step in range(11, 101)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == 1.0
    assert rates[-1] < 0.001


def test_a_constant_rate_stays() -> None:
    assert {learning_rate(step, 100, 0.5, 0.1, "constant") for step in range(10, 101)} == {0.5}


@pytest.mark.parametrize("step", [0, 11])
def test_a_step_outside_of_the_training_is_refused(step: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 10"):
        learning_rate(step, 10, 1.0, 0.1, "cosine")
