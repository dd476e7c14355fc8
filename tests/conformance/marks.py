# SPDX-License-Identifier: Apache-2.0
"""Which tests name which lines, as pytest collects them."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

Proofs = Mapping[int, Mapping[str, int]]
"""By line: each test's id without parameters, and how many cases it has."""


class _Collected:
    def __init__(self) -> None:
        self.proofs: defaultdict[int, Counter[str]] = defaultdict(Counter)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            test = item.nodeid.partition("[")[0].removeprefix("tests/")
            for number in {n for mark in item.iter_markers("conformance") for n in mark.args}:
                self.proofs[number][test] += 1


def collect() -> Proofs:
    """Reads the marks of all tests. RuntimeError if pytest cannot collect them."""
    marked = [
        str(path.relative_to(ROOT))
        for path in sorted(ROOT.glob("tests/*/**/test_*.py"))
        if "mark.conformance" in path.read_text()
    ]
    collected, told = _Collected(), StringIO()
    with redirect_stdout(told):
        status = pytest.main(
            ["--collect-only", "--quiet", f"--rootdir={ROOT}", "-p", "no:cacheprovider", *marked],
            plugins=[collected],
        )
    if status != pytest.ExitCode.OK:
        raise RuntimeError(f"the tests cannot be collected:\n{told.getvalue()}")
    return collected.proofs
