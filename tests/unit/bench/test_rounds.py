# SPDX-License-Identifier: Apache-2.0
"""Rounds of things side by side, and the table of what was found."""

from collections.abc import Callable

from bench.rounds import Figures, measure, measure_several
from bench.rows import Row, table


def test_each_thing_is_measured_once_a_round_and_not_always_in_the_same_order() -> None:
    calls: list[str] = []

    def thing(name: str) -> Callable[[], float]:
        def run() -> float:
            calls.append(name)
            return float(calls.count(name))

        return run

    found = measure({name: thing(name) for name in "abcd"}, 20, warm=2)
    assert found == {name: Figures(tuple(range(3, 23))) for name in "abcd"}, "the first two are off"
    orders = {tuple(calls[start : start + 4]) for start in range(0, len(calls), 4)}
    assert all(sorted(order) == list("abcd") for order in orders)
    assert len(orders) > 1


def test_figures_of_one_run_stay_together() -> None:
    numbers = iter(range(100))

    def run() -> dict[str, float]:
        number = next(numbers)
        return {"one": number, "ten times": 10 * number}

    found = measure_several({"a": run}, 3)
    assert found == {"a": {"one": Figures((1, 2, 3)), "ten times": Figures((10, 20, 30))}}


def test_a_row_is_compared_with_its_baseline_round_by_round() -> None:
    rows = [
        Row("plain", "Gbit/s", "higher", None, (10.0, 20.0, 40.0)),
        Row("ours", "Gbit/s", "higher", "plain", (5.0, 10.0, 20.0)),
    ]
    _, plain, ours = (line.split() for line in table(rows))
    assert plain == ["plain", "10", "20", "40", "Gbit/s"]
    assert ours == ["ours", "5", "10", "20", "Gbit/s", "0.50", "[0.50..0.50]"]
