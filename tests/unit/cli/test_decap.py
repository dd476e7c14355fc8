# SPDX-License-Identifier: Apache-2.0
"""What is said twice of a backend, in code and in words, is the same."""

import re
from pathlib import Path

from sixlane.cli.decap import _LARGEST, _SMALLEST, decap
from sixlane.datapath.decap import ROOT
from sixlane.datapath.layout import DecapReason
from sixlane.model.load_balancer import TUNNEL_SOURCES
from sixlane.model.segments import MAX_SEGMENT, MIN_SEGMENT

PAGE = Path(__file__).parents[3] / "docs" / "howto" / "backend.md"


def test_defaults_of_the_command() -> None:
    options = {option.name: option for option in decap.commands["up"].params}
    shown = ", ".join(map(str, TUNNEL_SOURCES.values()))
    assert f"[default: {shown}]" in str(getattr(options["sources"], "help", ""))
    assert options["bpffs"].default == str(ROOT)
    assert (_SMALLEST, _LARGEST) == (MIN_SEGMENT, MAX_SEGMENT)


def test_the_page_has_all_counters() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert listed == [
        one.name.removeprefix("DECAP_").lower()
        for one in DecapReason
        if one != DecapReason.DECAP_REASONS
    ]
    assert all(str(source) in PAGE.read_text() for source in TUNNEL_SOURCES.values())
