# SPDX-License-Identifier: Apache-2.0
"""One version follows another under full load: no packet is lost, no counter, no configuration.

The other version is this one with other structs, built from a copy of the sources.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import pytest

import sixlane
from sixlane.datapath.attach import attachments
from sixlane.datapath.pins import OWN
from sixlane.net import netns
from tests import needs
from tests.netns.agents import GATEWAY, Agent, changed, eventually
from tests.netns.edge import CLIENT, CLIENT6, SERVER, SERVER6, Hosts, raise_hosts
from tests.netns.flood import Flood, compile_witness, flooding
from tests.packets import STRANGER, ip4, ip6, udp

pytestmark = [pytest.mark.netns, needs.root, needs.command("clang"), needs.command("make")]

THIS = Path(sixlane.__file__).parent.parent
ENOUGH = 30_000  # packets from each end before and behind what is tested

# A field before all others in the tables and in what is remembered of a flow, and a reason between
# others: whoever reads the one as the other reads nonsense.
CHANGES = {
    "struct gateway {\n": "struct gateway {\n\t__u64 other;\n",
    "struct next_hop {\n": "struct next_hop {\n\t__u64 other;\n",
    "\tDROP_MALFORMED,\n": "\tDROP_OTHER,\n\tDROP_MALFORMED,\n",
}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The src directory of a version with other structs."""
    tree = tmp_path_factory.mktemp("other")
    ignored = shutil.ignore_patterns("__pycache__", "_objects", "build")
    shutil.copytree(THIS / "sixlane", tree / "src" / "sixlane", ignore=ignored)
    shutil.copytree(THIS.parent / "bpf", tree / "bpf", ignore=ignored)
    shutil.copy(THIS.parent / "pyproject.toml", tree)  # how generated files are formatted
    types = tree / "bpf" / "sixlane" / "types.h"
    text = types.read_text()
    for old, new in CHANGES.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    types.write_text(text)
    subprocess.run(["make", "--silent", "-C", tree / "bpf"], check=True)
    subprocess.run(
        [sys.executable, "-m", "sixlane.datapath.generate"],
        env=os.environ | {"PYTHONPATH": str(tree / "src")},
        check=True,
    )
    return tree / "src"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_witness(tmp_path_factory.mktemp("witness"))


@dataclass
class Scene:
    """A gateway under load, whose agent is to be followed by another."""

    hosts: Hosts
    agent: Agent
    flood: Flood

    def wait_for_packets(self) -> None:
        ends = (self.flood.client, self.flood.server)
        wanted = [end.sent + ENOUGH for end in ends]
        assert eventually(
            lambda: all(end.sent >= sent for end, sent in zip(ends, wanted, strict=True)), 30
        )

    def programs(self) -> dict[str, int]:
        """What is attached, by device."""
        with netns.inside(self.hosts.gateway):
            found = list(attachments(self.agent.bpffs / "links"))
        return {one.device: one.program for one in found}

    def check_counts(self) -> None:
        """Each packet was sent on or refused, is counted, and if it was sent on, has arrived."""
        counted = json.loads(self.agent.sixlane("counters", "-o", "json"))
        packets = {name: one["packets"] for name, one in counted["reasons"].items()}
        there, back = self.flood.server, self.flood.client
        assert there.arrived() == {
            (str(IPv6Address(CLIENT6)), str(IPv6Address(SERVER6))): packets["forward_46"]
            - there.overrun()
        }
        assert back.arrived() == {(SERVER, CLIENT): packets["forward_64"] - back.overrun()}
        assert packets["forward_64"] == self.flood.server.sent
        sent = packets["forward_46"] + packets["drop_source_not_allowed"]
        assert sent == self.flood.client.sent
        assert packets["drop_malformed"] == 0, "the name next to the one that is not known here"
        of_prefix = counted["prefixes"]["pods"]
        assert of_prefix["46"]["packets"] == packets["forward_46"]
        assert of_prefix["64"]["packets"] == packets["forward_64"]


@contextmanager
def scene(attach: str, compiled: Path, directory: Path, version: Path) -> Iterator[Scene]:
    """With an agent of a version at work: one client may send, another may not."""
    from_client = [ip4(src=source, dst=SERVER) / udp(22) for source in (CLIENT, STRANGER)]
    from_server = [ip6(src=SERVER6, dst=CLIENT6) / udp(2)]
    prefix = GATEWAY["spec"]["prefixes"][0] | {"loadBalancerSourceRanges": [f"{CLIENT}/32"]}
    devices = [{"name": name, "attach": attach} for name in ("wan0", "lan0")]
    with raise_hosts(attach) as hosts:
        agent = Agent(hosts.gateway, directory, internet=hosts.client, pod=hosts.server)
        agent.version = version
        try:
            agent.start()
            agent.apply(changed(GATEWAY, devices=devices, prefixes=[prefix]))
            with flooding(hosts, compiled, from_client, from_server) as flood:
                yield Scene(hosts, agent, flood)
        finally:
            agent.clean()


def digests(version: Path) -> dict[str, str]:
    """Of the maps as a version knows them."""
    place = version / "sixlane" / "datapath" / "layout.py"
    spec = importlib.util.spec_from_file_location(f"layout_{version.parent.name}", place)
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    found: dict[str, str] = module.DIGESTS
    return found


@pytest.mark.parametrize("attach", ["tc", "xdp"])
@pytest.mark.parametrize("direction", ["upgrade", "downgrade"])
def test_one_version_follows_another(
    attach: str, direction: str, compiled: Path, other: Path, tmp_path: Path
) -> None:
    first, second = (other, THIS) if direction == "upgrade" else (THIS, other)
    with scene(attach, compiled, tmp_path, first) as now:
        agent = now.agent
        with now.flood.running():
            now.wait_for_packets()
            assert agent.end() == 0
            before = now.programs()
            agent.version = second
            agent.start()
            now.wait_for_packets()
        after = now.programs()
        assert after.keys() == before.keys() == {"wan0", "lan0"}
        assert not set(after.values()) & set(before.values())
        now.check_counts()
        status = agent.status()
        assert status["problems"] == []
        assert "programs of another version stay" in agent.log.read_text()
        pinned = {path.name for path in (agent.bpffs / "maps").iterdir()}
        wanted = {name: one for name, one in digests(second).items() if name not in OWN}
        assert pinned == {f"{name}-{digest}" for name, digest in wanted.items()}
        assert len(list(agent.bpffs.glob("programs-*"))) == 1


def test_what_cannot_take_over_leaves_the_other_at_work(
    compiled: Path, other: Path, tmp_path: Path
) -> None:
    """The store is not to be read, so there is nothing to put in force."""
    with scene("tc", compiled, tmp_path, other) as now:
        agent = now.agent
        before = now.programs()
        store = agent.place.state_dir / "store.db"
        with now.flood.running():
            now.wait_for_packets()
            agent.end()
            stored = store.read_bytes()
            store.write_bytes(b"not a database" * 100)
            agent.version = THIS
            refused = agent.daemon()
            now.wait_for_packets()
        assert refused.returncode == 1
        assert "store.db" in refused.stderr.splitlines()[-1]
        assert now.programs() == before
        store.write_bytes(stored)
        agent.start()
        assert not set(now.programs().values()) & set(before.values())
        now.check_counts()


def test_an_agent_that_is_killed_while_it_takes_over(
    compiled: Path, other: Path, tmp_path: Path
) -> None:
    """At several moments of its start; the one that follows finishes it."""
    with scene("tc", compiled, tmp_path, other) as now:
        agent = now.agent
        with now.flood.running():
            now.wait_for_packets()
            agent.end()
            agent.version = THIS
            began = time.monotonic()
            agent.start()
            takes = time.monotonic() - began
            agent.end()
            for tenth in range(4, 10):
                agent.version = other if agent.version == THIS else THIS
                agent.start_and_kill(takes * tenth / 10)
            agent.version = THIS
            agent.start()
            now.wait_for_packets()
        now.check_counts()
