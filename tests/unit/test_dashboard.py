# SPDX-License-Identifier: Apache-2.0
"""The dashboard asks for metrics and labels that there are."""

import json
import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_ROW = re.compile(r"^\| `(sixlane_\w+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)
_SCRAPED = {"instance", "job", "le"}
_DASHBOARD = json.loads((_ROOT / "packaging/grafana/sixlane.json").read_text())


def _known() -> dict[str, set[str]]:
    rows = _ROW.findall((_ROOT / "docs/reference/metrics.md").read_text())
    known = {name: set(re.findall(r"`(\w+)`", labels)) for name, _, labels in rows}
    for name, kind, _ in rows:
        if kind == "histogram":
            known[f"{name}_bucket"] = known[name]
    return known


def _queries() -> list[str]:
    asked = [target["expr"] for panel in _DASHBOARD["panels"] for target in panel["targets"]]
    return asked + [
        one["definition"] for one in _DASHBOARD["templating"]["list"] if "definition" in one
    ]


def test_metrics_and_labels_are_there() -> None:
    known, seen = _known(), set[str]()
    for query in _queries():
        used = set(re.findall(r"\b(sixlane_\w+)", query))
        assert used <= known.keys(), query
        labels = set(re.findall(r"(\w+)=~?\"", query)) | {
            label for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(", ")
        }
        there = set[str]().union(*(known[name] for name in used)) if used else set()
        assert labels <= there | _SCRAPED, query
        seen |= used
    assert {"sixlane_traffic_packets_total", "sixlane_drops_total"} <= seen


def test_panels_do_not_overlap() -> None:
    taken = set[tuple[int, int]]()
    for panel in _DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
