# SPDX-License-Identifier: Apache-2.0
"""DNS64 by a real named, asked with dig; and that named through all that may happen to it."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sixlane.dns64 import process
from sixlane.net import netns
from tests import needs
from tests.netns import agents
from tests.netns.agents import DNS64, GATEWAY, Agent, changed, eventually

pytestmark = [
    pytest.mark.netns,
    needs.root,
    needs.bpf,
    *(needs.command(program) for program in ("named", "named-checkconf", "dig", "ip")),
]

ZONES = {
    "test": """
$TTL 60
@         SOA   ns hostmaster 1 3600 600 86400 30
@         NS    ns
ns        A     192.31.196.53
v4only    A     192.31.196.80
alias     CNAME v4only
dual      A     192.31.196.80
dual      AAAA  2001:db8:9::80
private   A     10.1.2.3
mixed     A     192.168.1.1
mixed     A     192.31.196.81
mapped    A     192.31.196.80
mapped    AAAA  ::ffff:192.31.196.80
words     TXT   "hello"
""",
    "196.31.192.in-addr.arpa": """
$TTL 60
@         SOA   ns.test. hostmaster.test. 1 3600 600 86400 30
@         NS    ns.test.
80        PTR   v4only.test.
""",
}


@dataclass
class World:
    agent: Agent
    internet: str
    pod: str

    def dig(self, *argv: str, source: str = "2001:db8:64::2", server: str = "") -> str:
        """What dig prints, asked from the pod."""
        done = netns.run(
            self.pod,
            ["dig", "-b", source, f"@{server or '2001:db8:64::1'}", "+tries=2", "+time=2", *argv],
            check=False,
        )
        return done.stdout

    def short(self, *argv: str) -> list[str]:
        return sorted(self.dig("+short", *argv).splitlines())

    def status_of(self, *argv: str) -> str:
        """NOERROR, NXDOMAIN, ..."""
        return self.dig(*argv).partition("status: ")[2].partition(",")[0]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A started agent, and a name server on the internet with an IPv4 address only."""
    with agents.world(tmp_path) as (agent, internet, pod), authority(tmp_path, internet):
        agent.start()
        yield World(agent, internet, pod)


@pytest.fixture(scope="module")
def answering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The same with DNS64 in force, for tests that only ask."""
    directory = tmp_path_factory.mktemp("dns64")
    with agents.world(directory) as (agent, internet, pod), authority(directory, internet):
        agent.start()
        agent.apply(DNS64)
        yield World(agent, internet, pod)


def authority(directory: Path, namespace: str) -> "Authority":
    return Authority(directory / "authority", namespace)


class Authority:
    """A named that knows ZONES."""

    def __init__(self, directory: Path, namespace: str) -> None:
        directory.mkdir()
        self._directory = directory
        self._namespace = namespace

    def __enter__(self) -> None:
        zones = ""
        for name, text in ZONES.items():
            (self._directory / name).write_text(text)
            zones += f'zone "{name}" {{ type primary; file "{name}"; }};\n'
        configuration = self._directory / "authority.conf"
        configuration.write_text(
            f'options {{ directory "{self._directory}"; listen-on {{ 192.31.196.53; }};\n'
            "listen-on-v6 { none; }; recursion no; dnssec-validation no; pid-file none;\n"
            "session-keyfile none; }; controls { };\n" + zones
        )
        log = self._directory / "log"
        with log.open("wb") as output:
            argv = [
                process.program("named"),
                "-g",
                "-n",
                "1",
                "-c",
                str(configuration),
            ]
            self._process = netns.popen(
                self._namespace, argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        if not eventually(lambda: b" running\n" in log.read_bytes()):
            self.__exit__()
            pytest.fail(log.read_text())

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(10)


# ---- what it answers ----


def test_an_ipv4_only_name_gets_an_aaaa(answering: World) -> None:
    assert answering.short("v4only.test", "AAAA") == ["64:ff9b::c01f:c450"]
    assert answering.short("v4only.test", "A") == ["192.31.196.80"]


@pytest.mark.conformance(102)
def test_a_real_aaaa_is_left_alone(answering: World) -> None:
    assert answering.short("dual.test", "AAAA") == ["2001:db8:9::80"]


@pytest.mark.conformance(103)
def test_a_name_that_is_not_there(answering: World) -> None:
    assert answering.status_of("nowhere.test", "AAAA") == "NXDOMAIN"


@pytest.mark.conformance(105)
def test_excluded_records_count_as_absent(answering: World) -> None:
    assert answering.short("mapped.test", "AAAA") == ["64:ff9b::c01f:c450"]


@pytest.mark.conformance(106)
def test_a_cname_is_followed_and_kept(answering: World) -> None:
    assert answering.short("alias.test", "AAAA") == ["64:ff9b::c01f:c450", "v4only.test."]


@pytest.mark.conformance(109)
def test_the_ttl_is_that_of_the_negative_answer_if_it_is_lower(answering: World) -> None:
    (record,) = answering.dig("+noall", "+answer", "v4only.test", "AAAA").splitlines()
    assert int(record.split()[1]) <= 30


@pytest.mark.conformance(111)
def test_private_addresses_are_not_for_the_well_known_prefix(answering: World) -> None:
    assert answering.short("private.test", "AAAA") == []
    assert answering.status_of("private.test", "AAAA") == "NOERROR"
    assert answering.short("mixed.test", "AAAA") == ["64:ff9b::c01f:c451"]


@pytest.mark.conformance(112)
def test_ptr(answering: World) -> None:
    assert answering.short("-x", "64:ff9b::192.31.196.80") == [
        "80.196.31.192.in-addr.arpa.",
        "v4only.test.",
    ]


@pytest.mark.conformance(113)
def test_other_types_are_untouched(answering: World) -> None:
    assert answering.short("words.test", "TXT") == ['"hello"']


@pytest.mark.conformance(117)
def test_ipv4only_arpa(answering: World) -> None:
    assert answering.short("ipv4only.arpa", "A") == ["192.0.0.170", "192.0.0.171"]
    assert answering.short("ipv4only.arpa", "AAAA") == ["64:ff9b::c000:aa", "64:ff9b::c000:ab"]
    assert answering.short("ipv4only.arpa", "TXT") == []
    assert answering.status_of("ipv4only.arpa", "TXT") == "NOERROR"
    assert answering.status_of("x.ipv4only.arpa", "AAAA") == "NXDOMAIN"


def test_only_clients_are_answered(answering: World) -> None:
    refused = answering.dig("v4only.test", "AAAA", source="2001:db8:65::2")
    assert "status: REFUSED" in refused
    assert "64:ff9b" not in refused


def test_it_answers_over_tcp_too(answering: World) -> None:
    assert answering.short("+tcp", "v4only.test", "AAAA") == ["64:ff9b::c01f:c450"]


def test_it_listens_nowhere_else(answering: World) -> None:
    listening = netns.run(answering.agent.namespace, ["ss", "-Hlnptu"]).stdout
    addresses = {line.split()[4] for line in listening.splitlines() if '"named"' in line}
    assert addresses == {"[2001:db8:64::1]:53"}


def test_it_is_no_longer_root(answering: World) -> None:
    pid = answering.agent.named()
    assert pid is not None
    assert process.user_of(pid) == "bind"
    (told,) = answering.agent.status()["dns64"]
    assert (told["user"], told["note"]) == ("bind", "")


def test_status(answering: World) -> None:
    (told,) = answering.agent.status()["dns64"]
    assert told["state"] == "running"
    assert told["listen"] == [{"address": "2001:db8:64::1", "port": 53, "answers": True}]
    assert "2001:db8:64::1#53" in answering.agent.sixlane("status")


# ---- what may happen to it ----


def test_a_change_is_reloaded(world: World) -> None:
    world.agent.apply(DNS64)
    before = world.agent.named()
    prefixes = [{"prefix": "2001:db8:6464::/96"}]
    world.agent.apply(changed(DNS64, prefixes=prefixes, clients=["2001:db8::/32"]))
    assert world.agent.named() == before
    assert world.short("v4only.test", "AAAA") == ["2001:db8:6464::c01f:c450"]
    assert world.short("private.test", "AAAA") == ["2001:db8:6464::a01:203"]
    assert "2001:db8:6464::c01f:c450" in world.dig("v4only.test", "AAAA", source="2001:db8:65::2")


def test_other_addresses_take_a_restart(world: World) -> None:
    world.agent.apply(DNS64)
    before = world.agent.named()
    world.agent.apply(changed(DNS64, listen=["192.31.196.1"], clients=["192.31.196.0/24"]))
    assert world.agent.named() not in (before, None)
    asked = ["dig", "+short", "@192.31.196.1", "v4only.test", "AAAA"]
    assert netns.run(world.internet, asked).stdout == "64:ff9b::c01f:c450\n"


def test_two_resolvers(world: World) -> None:
    other = changed(DNS64, listen=["192.31.196.1"], clients=["192.31.196.0/24"])
    world.agent.apply(DNS64, {**other, "metadata": {"name": "other"}})
    assert None not in (world.agent.named(), world.agent.named("other"))
    assert world.agent.named() != world.agent.named("other")


def test_named_is_started_again_when_it_is_killed(world: World) -> None:
    world.agent.apply(DNS64)
    for count in (1, 2):
        before = world.agent.named()
        assert before is not None
        os.kill(before, signal.SIGKILL)
        assert eventually(lambda old=before: world.agent.named() not in (old, None))  # type: ignore[misc]
        assert eventually(lambda: world.agent.status()["dns64"][0]["state"] == "running")
        assert world.agent.status()["dns64"][0]["restarts"] == count
    assert world.short("v4only.test", "AAAA") == ["64:ff9b::c01f:c450"]


def test_named_outlives_the_agent_and_is_adopted(world: World) -> None:
    world.agent.apply(DNS64)
    before = world.agent.named()
    assert world.agent.end(signal.SIGKILL) == -signal.SIGKILL
    assert world.short("v4only.test", "AAAA") == ["64:ff9b::c01f:c450"]
    world.agent.start()
    assert world.agent.named() == before
    assert world.agent.status()["problems"] == []
    assert before is not None
    os.kill(before, signal.SIGKILL)  # not its child any more, and watched all the same
    assert eventually(lambda: world.agent.named() not in (before, None))


def test_named_that_ended_while_there_was_no_agent(world: World) -> None:
    world.agent.apply(DNS64)
    before = world.agent.named()
    assert before is not None
    assert world.agent.end() == 0
    process.stop(before)
    world.agent.start()
    assert world.agent.named() not in (before, None)
    assert world.short("v4only.test", "AAAA") == ["64:ff9b::c01f:c450"]


def test_one_that_does_not_answer_is_told(world: World) -> None:
    world.agent.apply(DNS64)
    pid = world.agent.named()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    assert world.agent.status()["problems"] == ["dns64: cluster is silent"]
    os.kill(pid, signal.SIGCONT)
    assert eventually(lambda: world.agent.status()["problems"] == [])


def test_a_wedged_named_is_killed_and_started_again(world: World) -> None:
    world.agent.apply(DNS64)
    before = world.agent.named()
    assert before is not None
    os.kill(before, signal.SIGSTOP)
    assert eventually(lambda: answering_condition(world)["status"] == "False", 20)
    assert eventually(lambda: world.agent.named() not in (before, None), 30)
    assert eventually(lambda: world.agent.status()["problems"] == [], 20)
    assert world.agent.status()["dns64"][0]["restarts"] == 1
    log = world.agent.log.read_text()
    assert f"(pid {before}) runs and does not answer on 2001:db8:64::1 port 53" in log
    assert eventually(lambda: answering_condition(world)["status"] == "True", 20)
    assert world.short("v4only.test", "AAAA") == ["64:ff9b::c01f:c450"]


def answering_condition(world: World) -> dict[str, str]:
    (resource,) = world.agent.resources()
    conditions: list[dict[str, str]] = resource["status"]["conditions"]
    (found,) = [one for one in conditions if one["type"] == "Answering"]
    return found


def test_a_wedged_named_does_not_hold_up_its_change(world: World) -> None:
    world.agent.apply(DNS64)
    before = world.agent.named()
    assert before is not None
    os.kill(before, signal.SIGSTOP)
    world.agent.apply(changed(DNS64, prefixes=[{"prefix": "2001:db8:6464::/96"}]))
    assert world.agent.named() not in (before, None)
    assert world.short("v4only.test", "AAAA") == ["2001:db8:6464::c01f:c450"]


def test_one_whose_port_is_taken_is_tried_again_and_holds_up_no_other(world: World) -> None:
    other = changed(DNS64, listen=["192.31.196.1"], clients=["192.31.196.0/24"])
    world.agent.apply(DNS64, {**other, "metadata": {"name": "other"}})
    world.agent.end()
    for name in ("cluster", "other"):
        pid = world.agent.named(name)
        assert pid is not None
        process.stop(pid)
    with (
        netns.inside(world.agent.namespace),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief,
    ):
        thief.bind(("192.31.196.1", 53))
        world.agent.start()
        (problem,) = world.agent.status()["problems"]
        assert "dns64: other is stopped (port 53 of 192.31.196.1 is taken" in problem
        assert world.short("v4only.test", "AAAA") == ["64:ff9b::c01f:c450"]
        # A change of the other one is no reason to refuse.
        world.agent.apply(changed(DNS64, prefixes=[{"prefix": "2001:db8:6464::/96"}]))
    assert eventually(lambda: world.agent.status()["problems"] == [], 40)
    assert world.agent.named("other") is not None


def test_an_address_of_another_machine_is_refused(world: World) -> None:
    said = world.agent.apply(changed(DNS64, listen=["2001:db8:64::77"]), code=5)
    assert said == (
        "sixlane: 2001:db8:64::77 is not an address of this machine: "
        "standard input:1:spec.listen, line 11 (ip address add 2001:db8:64::77 dev DEVICE)\n"
    )
    assert world.agent.named() is None


def test_a_port_that_is_taken_is_refused(world: World) -> None:
    world.agent.apply(DNS64)
    with (
        netns.inside(world.agent.namespace),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        other.bind(("192.31.196.1", 53))
        said = world.agent.apply(changed(DNS64, listen=["192.31.196.1"]), code=5)
    assert "port 53 of 192.31.196.1 is taken by another program: standard input:1:spec" in said
    assert "ss -lunpt sport = :53" in said
    assert world.short("v4only.test", "AAAA") == ["64:ff9b::c01f:c450"]


def test_an_address_that_comes_late(world: World) -> None:
    """A start of the machine: the agent is there before the address is."""
    world.agent.apply(DNS64)
    pid = world.agent.named()
    assert pid is not None
    world.agent.end()
    process.stop(pid)
    address = ["2001:db8:64::1/64", "dev", "lan0"]
    netns.run(world.agent.namespace, ["ip", "address", "del", *address])
    world.agent.start()
    (problem,) = [one for one in world.agent.status()["problems"] if "2001:db8:64::1 is" in one]
    assert "not an address of this machine" in problem
    netns.run(world.agent.namespace, ["ip", "address", "add", *address, "nodad"])
    assert eventually(lambda: world.agent.status()["problems"] == [])
    assert world.short("v4only.test", "AAAA") == ["64:ff9b::c01f:c450"]


def test_a_named_that_cannot_start_takes_the_whole_transaction_back(world: World) -> None:
    world.agent.place.all_state.write_text("in the way")
    said = world.agent.apply(GATEWAY, DNS64, code=1)
    assert "ENOTDIR" in said or "EEXIST" in said
    status = world.agent.status()
    assert (status["revision"], status["resources"]) == (0, [])
    assert not list((world.agent.bpffs / "links").glob("tcx-*"))
    world.agent.place.all_state.unlink()
    world.agent.apply(GATEWAY, DNS64)
    assert world.agent.status()["problems"] == []


def test_teardown_stops_it_and_leaves_no_file(world: World) -> None:
    world.agent.apply(DNS64)
    pid = world.agent.named()
    assert pid is not None
    world.agent.sixlane("teardown")
    assert not Path("/proc", str(pid)).exists()
    assert not world.agent.place.all_run.exists()
    assert not world.agent.place.all_state.exists()
