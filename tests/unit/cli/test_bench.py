# SPDX-License-Identifier: Apache-2.0
"""`sixlane bench compare` on files as `make bench` writes them."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench import report
from bench.rows import Row
from tests.unit.cli.running import Sixlane

FAILED, REFUSED = 1, 5


def written(path: Path, **rows: tuple[str, tuple[float, ...]]) -> str:
    report.write(
        path,
        [
            Row(name, "ns", "lower" if better == "lower" else "higher", None, values)
            for name, (better, values) in rows.items()
        ],
        {"rounds": "4"},
    )
    return str(path)


def test_what_is_certain_is_told(sixlane: Sixlane, tmp_path: Path) -> None:
    old = written(
        tmp_path / "old.json",
        slow=("lower", (10.0, 11.0, 10.0, 11.0)),
        fast=("higher", (10.0, 11.0, 10.0, 11.0)),
        even=("lower", (10.0, 11.0, 10.0, 11.0)),
        gone=("lower", (1.0,)),
    )
    new = written(
        tmp_path / "new.json",
        slow=("lower", (20.0, 21.0, 20.0, 21.0)),
        fast=("higher", (20.0, 21.0, 20.0, 21.0)),
        even=("lower", (11.0, 10.0, 11.0, 10.0)),
        fresh=("lower", (1.0,)),
    )
    said = sixlane("bench", "compare", old, new, code=FAILED)
    assert [line.split()[0] for line in said.splitlines()] == ["WHAT", "slow", "fast", "1"]
    assert "worse" in said.splitlines()[1]
    assert "better" in said.splitlines()[2]
    assert said.endswith("1 more may as well be the same\n")
    told = json.loads(sixlane("bench", "compare", new, old, "--all", "-o", "json", code=FAILED))
    verdicts = {one["name"]: one["verdict"] for one in told["items"]}
    assert verdicts == {"slow": "better", "fast": "worse", "even": "same"}


def test_nothing_worse_ends_well(sixlane: Sixlane, tmp_path: Path) -> None:
    file = written(tmp_path / "one.json", slow=("lower", (10.0, 11.0)))
    assert sixlane("bench", "compare", file, file) == "1 more may as well be the same\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "no JSON file"), ("[]", "not what make bench"), (None, "cannot read")],
)
def test_other_files(sixlane: Sixlane, tmp_path: Path, content: Any, message: str) -> None:
    file = tmp_path / "x.json"
    if content is not None:
        file.write_text(content)
    said = sixlane("bench", "compare", str(file), str(file), code=REFUSED)
    assert message in said
    assert len(said.splitlines()) == 1
