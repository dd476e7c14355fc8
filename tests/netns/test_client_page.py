# SPDX-License-Identifier: Apache-2.0
"""docs/reference/client.md: its examples run, and print what the page says."""

import contextlib
import inspect
import io
import re
from pathlib import Path

import pytest

from sixlane.client import Client
from tests import needs
from tests.netns import agents
from tests.netns.agents import GATEWAY

pytestmark = [pytest.mark.netns, needs.root, needs.bpf, needs.command("ip")]

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "client.md"
EXAMPLE = re.compile(r"^```python\n(.*?)^```\n(?:\n```\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


def test_the_examples_run_and_print_what_the_page_says(tmp_path: Path) -> None:
    examples = EXAMPLE.findall(PAGE.read_text())
    assert len(examples) > 8
    with agents.world(tmp_path) as (agent, _, _):
        agent.start()
        agent.apply(GATEWAY)
        names = {"path": str(agent.place.run_dir / "api.sock")}
        for code, wanted in examples:
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(code, str(PAGE), "exec"), names)
            assert printed.getvalue() == wanted, code


def test_the_page_names_each_method() -> None:
    told = set(re.findall(r"`(\w+)\(", PAGE.read_text().partition("## All methods")[2]))
    there = {name for name, _ in inspect.getmembers(Client, inspect.isfunction)}
    assert told == {name for name in there if not name.startswith("_")}
