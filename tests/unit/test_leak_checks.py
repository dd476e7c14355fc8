# SPDX-License-Identifier: Apache-2.0
"""A test that leaves something behind fails, one that tidies up does not."""

from pathlib import Path

import pytest

from tests import needs

LEAKS = {
    "file descriptor": "import os; os.open('/dev/null', os.O_RDONLY)",
    "process": "import subprocess; subprocess.Popen(['sleep', '5'])",
    "network namespace": "import os; os.system('ip netns add left')",
    "pin": "import os; os.mkdir('/sys/fs/bpf/left')",
}


_ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def imports_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The conftest that is copied imports from `tests`."""
    monkeypatch.setenv("PYTHONPATH", str(_ROOT))


@needs.root
@pytest.mark.parametrize(("kind", "statement"), LEAKS.items(), ids=LEAKS)
def test_what_is_left_is_named(pytester: pytest.Pytester, kind: str, statement: str) -> None:
    conftest = Path(__file__).parents[1].joinpath("conftest.py").read_text()
    pytester.makeconftest(conftest.replace("_PATIENCE_S = 2.0", "_PATIENCE_S = 0.1"))
    pytester.makepyfile(f"def test_tidy():\n    pass\n\ndef test_leaky():\n    {statement}\n")
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines([f"*left behind: {kind} *"])
