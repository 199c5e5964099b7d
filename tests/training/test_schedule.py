import pytest

from mfnet.training.schedule import learning_rate


def rates(total: int, warmup: int, schedule: str) -> list[float]:
    return [learning_rate(step, total, 0.5, warmup, schedule) for step in range(total)]


def test_cosine_rises_over_the_warm_up_and_ends_near_zero():
    values = rates(200, 10, "cosine")
    assert values[:10] == pytest.approx([0.5 * (step + 1) / 11 for step in range(10)])
    assert values[10] == 0.5 == max(values) and values[105] == pytest.approx(0.25) and 0 < values[-1] < 1e-3


def test_constant_stays_at_the_peak():
    assert rates(100, 2, "constant")[2:] == [0.5] * 98


def test_a_short_run_warms_up_for_a_tenth_of_it():
    assert rates(20, 1000, "constant")[2:] == [0.5] * 18


def test_a_single_step_has_a_rate():
    assert rates(1, 10, "cosine") == [0.5]
