# SPDX-License-Identifier: Apache-2.0
"""`sixlane session export` and `import`, over records that are made up."""

import io
import json
import stat
from collections import Counter
from collections.abc import Sequence

import pytest

from sixlane.api import session_file
from sixlane.cli import carrying
from sixlane.datapath.imports import ImportName
from sixlane.datapath.sessions import Session
from sixlane.errors import ConfigError
from tests.records import NETWORK, make
from tests.unit.agent.fakes import World
from tests.unit.cli.running import FAILED, REFUSED, Sixlane
from tests.unit.cli.test_session_table import FLOWS

HEAD = '{"kind":"SixlaneSessions","version":1}\n'


class Importer:
    """In place of the data path's: `results`, and then "made"."""

    def __init__(self, *results: ImportName) -> None:
        self.results = list(results)
        self.given: list[Session] = []

    def __call__(self, sessions: Sequence[Session]) -> list[ImportName]:
        self.given += sessions
        return [self.results.pop(0) if self.results else "made" for _ in sessions]


@pytest.fixture(autouse=True)
def importer(world: World, monkeypatch: pytest.MonkeyPatch) -> Importer:
    world.gateway.records = make(FLOWS).records()
    made = Importer()
    monkeypatch.setattr(world.gateway, "import_sessions", made)
    return made


@pytest.fixture
def text(sixlane: Sixlane) -> str:
    return sixlane("session", "export")


def test_there_and_back(sixlane: Sixlane, text: str, importer: Importer) -> None:
    assert sixlane.stderr == "5 sessions\n"
    head, *lines, end = map(json.loads, text.splitlines())
    assert (head["kind"], head["version"], end) == ("SixlaneSessions", 1, {"sessions": 5})
    assert {line["prefix"] for line in lines} == {NETWORK}
    told = sixlane("session", "import", stdin=text)
    assert told.split() == ["RESULT", "SESSIONS", "made", "5"]
    assert [one.inside_port for one in importer.given] == [5001, 5001, 5002, 5003, 77]


def test_a_file(sixlane: Sixlane, importer: Importer) -> None:
    path = sixlane.directory / "edge.sessions"
    path.write_text("what was there")
    sixlane("session", "export", str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not list(sixlane.directory.glob("*.part"))
    assert sixlane("session", "import", "--dry-run", str(path)) == "no sessions\n"
    assert importer.given == []
    sixlane("session", "import", str(path))
    assert len(importer.given) == 5
    told = sixlane("session", "export", str(path / "no"), code=REFUSED)
    assert told.startswith("sixlane: cannot write ")
    told = sixlane("session", "import", str(path.with_name("no")), code=REFUSED)
    assert told == f"sixlane: cannot read {path.with_name('no')}: No such file or directory\n"


def test_what_was_not_carried(sixlane: Sixlane, text: str, importer: Importer) -> None:
    importer.results = ["made", "present", "conflict", "noRoom", "conflict"]
    told = sixlane("session", "import", stdin=text, code=FAILED)
    assert told == (
        "sixlane: 3 sessions were not carried: 2 conflict, 1 noRoom (the first: line 4, conflict)\n"
    )
    importer.results = ["made", "present", "conflict", "noRoom", "limited"]
    sixlane("session", "import", "-o", "json", stdin=text, code=FAILED)


def test_nothing_is_made_of_a_file_with_a_malformed_line(
    sixlane: Sixlane, text: str, importer: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if it is in the last of several batches; lines have the numbers of the file."""
    monkeypatch.setattr(carrying, "_BATCH", 2)
    sixlane("session", "import", stdin=text)
    assert len(importer.given) == 5
    importer.given = []
    lines = text.splitlines(keepends=True)
    for number in range(1, 6):
        broken = "".join([*lines[:number], "{}\n", *lines[number + 1 :]])
        told = sixlane("session", "import", stdin=broken, code=REFUSED)
        assert told.startswith(f"sixlane: line {number + 1}: no inside"), told
    assert importer.given == []


def whole(*lines: str, count: int | None = None) -> str:
    return HEAD + "".join(lines) + json.dumps({"sessions": len(lines) if count is None else count})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: not a file of sessions: kind is not SixlaneSessions"),
        ("{}\n", "line 1: not a file of sessions"),
        ("[" * 1000 + "\n", "line 1: not a file of sessions"),
        ('{"kind":"Gateway"}\n', "line 1: not a file of sessions"),
        ('{"kind":"SixlaneSessions","version":2}\n', "line 1: version 2 is not known, 1 is"),
        ('{"kind":"SixlaneSessions"}\n', "line 1: version None is not known"),
        (HEAD, "line 1: the file ends before its last line"),
        (HEAD + "{}\n", "line 2: the file ends before its last line"),
        (HEAD + '{"sessions":1', "line 2: the file ends before its last line"),
        (whole("{}\n", count=2), "line 3: 1 sessions, and the last line says 2"),
        (whole(count=1), "line 2: 0 sessions, and the last line says 1"),
        (whole("[" * 2000 + "\n"), "line 2: longer than 1024 bytes"),
        (whole("9" * (1 << 20)), "line 2: longer than 1024 bytes"),
    ],
)
def test_files_that_are_not_whole(
    sixlane: Sixlane, importer: Importer, text: str, said: str
) -> None:
    assert sixlane("session", "import", stdin=text, code=REFUSED).startswith(f"sixlane: {said}")
    assert importer.given == []


def test_an_empty_file_of_sessions(sixlane: Sixlane, world: World) -> None:
    world.gateway.records = None
    text = sixlane("session", "export")
    assert json.loads(text.splitlines()[1]) == {"sessions": 0}
    assert sixlane("session", "import", stdin=text) == "no sessions\n"


def test_without_pool4(sixlane: Sixlane, text: str, world: World) -> None:
    world.gateway.import_sessions = lambda sessions: None  # type: ignore[method-assign]
    told = sixlane("session", "import", stdin=text, code=REFUSED)
    assert told.startswith("sixlane: no pool4 is in force (apply a Gateway")


def test_an_export_that_was_cut() -> None:
    for cut in (b"", HEAD.encode(), HEAD.encode() + b"{}\n", HEAD.encode() + b'{"sessions":1'):
        with pytest.raises(ConfigError, match="the agent ended before the sessions did"):
            carrying.write(io.BytesIO(), [cut])
    file = io.BytesIO()
    assert carrying.write(file, [HEAD.encode() + b'{"ses', b'sions":0}', b"\n"]) == 0
    assert file.getvalue().endswith(b'{"sessions":0}\n')


def test_sides_agree() -> None:
    """The command knows by itself what the agent says."""
    from sixlane.api import sessions
    from sixlane.cli import session_table
    from sixlane.datapath.imports import CARRIED, IMPORT_NAMES

    head, end = map(json.loads, sessions.export_texts([]))
    assert (head["kind"], head["version"]) == (session_file.KIND, session_file.VERSION)
    assert end == {"sessions": 0}
    assert session_table._RESULTS == IMPORT_NAMES
    assert session_table._RESULTS[: session_table._CARRIED] == CARRIED
    assert Counter(IMPORT_NAMES).most_common(1)[0][1] == 1
