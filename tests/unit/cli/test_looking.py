# SPDX-License-Identifier: Apache-2.0
"""Commands that only look: status, counters, sysdump; and teardown, that ends it all."""

import json
import tarfile

import pytest

from tests.unit.agent.fakes import DNS64, GATEWAY, World
from tests.unit.cli.running import FAILED, Sixlane


def test_status(sixlane: Sixlane) -> None:
    assert "no resources: sixlane apply -f FILE" in sixlane("status")
    sixlane("apply", "-f", sixlane.file(GATEWAY))
    text = sixlane("status", "--wait")
    assert text.startswith("sixlaned ")
    assert "revision 1" in text
    assert text.endswith("no problems\n")
    assert json.loads(sixlane("status", "-o", "json"))["problems"] == []
    assert len(sixlane("status", "-o", "ndjson").splitlines()) == 1


def test_status_waits_in_vain(sixlane: Sixlane, world: World) -> None:
    world.gateway.attached = ("False", "NotAttached")
    sixlane("apply", "-f", sixlane.file(GATEWAY))
    said = sixlane("status", "--wait", "--timeout", "0.3", code=FAILED)
    assert said.startswith("sixlane: not ready after 0.3 s: ")
    assert "Gateway edge" in said
    assert "not ready: Gateway edge" in sixlane("status")


def test_apply_waits_in_vain(sixlane: Sixlane, world: World) -> None:
    world.gateway.attached = ("False", "NotAttached")
    file = sixlane.file(GATEWAY, DNS64)
    said = sixlane("apply", "-f", file, "--wait", "--timeout", "0.3", code=FAILED)
    assert "not ready after 0.3 s: Gateway edge: NotAttached" in said


def test_counters(sixlane: Sixlane) -> None:
    assert sixlane("counters") == (
        "COUNTER     PACKETS  BYTES\n"
        "forward_46        2     80\n"
        "\n"
        "PREFIX  DIRECTION  PACKETS  BYTES\n"
        "pods    46               2     80\n"
    )
    assert sixlane("counters", "--no-headers").splitlines()[0] == "forward_46  2  80"


@pytest.mark.parametrize("colour", [{}, {"NO_COLOR": "1"}])
def test_nothing_is_coloured_in_a_pipe(sixlane: Sixlane, colour: dict[str, str]) -> None:
    sixlane("apply", "-f", sixlane.file(GATEWAY))
    for argv in (["get"], ["status"], ["counters"], ["describe", "gateway", "edge"]):
        assert "\x1b" not in sixlane(*argv, env=colour)


def members(path: str) -> dict[str, bytes]:
    """Names without the directory that all are in."""
    found = {}
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            file = archive.extractfile(member)
            assert file is not None
            found[member.name.partition("/")[2]] = file.read()
    return found


def test_sysdump(sixlane: Sixlane) -> None:
    sixlane("apply", "-f", sixlane.file(GATEWAY, DNS64))
    assert "it holds addresses and names, and no secrets" in sixlane("sysdump", "-o", "d.tar.gz")
    found = members("d.tar.gz")
    assert json.loads(found["agent/status.json"])["revision"] == 1
    assert found["agent/resources.yaml"].decode() == sixlane("export")
    assert found["system/uname-a"].startswith(b"$ uname -a\nLinux ")
    assert b"no secrets" in found["README"]
    assert {"agent/counters.json", "agent/history.json"} <= found.keys()


def test_sysdump_without_an_agent(alone: Sixlane) -> None:
    said = alone("sysdump", "--bpffs", "bpffs", "--state-dir", "state")
    name = said.partition(":")[0]
    absent = "sixlane: not in it: agent/status.json and 5 more: the agent is not running: "
    assert alone.stderr.startswith(absent)
    assert alone.stderr.count("the agent is not running") == 1
    found = members(name)
    assert "README" in found
    assert [one for one in found if one.startswith("agent/")] in ([], ["agent/doctor.json"])
    assert (alone.directory / name).stat().st_mode & 0o777 == 0o600


def test_sysdump_where_it_cannot_be_written(alone: Sixlane) -> None:
    said = alone("sysdump", "-o", "none/d.tar.gz", code=FAILED)
    assert said == "sixlane: cannot write: none/d.tar.gz: No such file or directory\n"


def test_teardown(sixlane: Sixlane, world: World) -> None:
    assert sixlane("teardown") == "torn down: nothing of sixlane is in force\n"
    assert "sixlane: not restored: gateway lost something\n" in sixlane.stderr
    assert world.gateway.removed
