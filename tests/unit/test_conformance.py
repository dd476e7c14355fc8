# SPDX-License-Identifier: Apache-2.0
"""The conformance page: its lines, and what it does not let pass."""

from tests.conformance.__main__ import faults, page
from tests.conformance.lines import CHAPTERS, STATELESS

LINES = [line for chapter in CHAPTERS for line in chapter.lines]
PROVED = {number: {"unit/test_x.py::test_y": 1} for number in STATELESS}


def test_numbers_are_in_a_row() -> None:
    assert [line.number for line in LINES] == list(range(1, 121))


def test_a_must_without_a_test_is_a_fault() -> None:
    assert not list(faults(PROVED))
    without = {number: tests for number, tests in PROVED.items() if number not in (25, 72)}
    (fault,) = faults(without)  # 72 is a MAY
    assert fault.startswith("line 25 has no test: DF 1")


def test_a_mark_without_a_line_is_a_fault() -> None:
    (fault,) = faults(PROVED | {121: {"unit/test_x.py::test_y": 1}})
    assert fault == "unit/test_x.py::test_y: there is no line 121"


def test_states() -> None:
    proofs = PROVED | {1: {"unit/test_x.py::test_y": 1, "prog/test_z.py::test_w": 3}}
    proofs |= {73: {"unit/test_x.py::test_y": 1}}
    rows = {row.split(" | ")[0]: row for row in page(proofs).splitlines()}
    assert rows["| 1"].endswith(
        "proved by 2 tests:<br>`prog/test_z.py::test_w`, 3 cases<br>`unit/test_x.py::test_y` |"
    )
    assert rows["| 73"].endswith(
        "| in the reference alone: proved by 1 test:<br>`unit/test_x.py::test_y` |"
    )
    assert rows["| 74"].endswith("| not built yet |")
    assert rows["| 104"].endswith("| no test of its own |")
