# SPDX-License-Identifier: Apache-2.0
"""The doctor in front of machines that have something: each thing is named, and nothing else is."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from sixlane.agent.agent import Agent
from sixlane.agent.doctor import CHECKS, Subject
from sixlane.agent.doctor.alone import diagnose_without_agent
from sixlane.agent.doctor.check import Reported, run
from sixlane.agent.edits import put
from sixlane.agent.lock import Held, only_one
from sixlane.agent.settings import Settings
from sixlane.agent.teardown import teardown_without_agent
from sixlane.agent.transaction import Transaction
from sixlane.bpf import AttachType, Link, Program, ProgramType, XdpFlag, features
from sixlane.datapath import Attachment
from sixlane.datapath.attach import Mode
from sixlane.net import address, clsact, ethtool, gso, link, netfilter, netns, sysctl
from sixlane.net import features as net
from tests import needs
from tests.netns.edge import gateway_of, raise_edge
from tests.unit.agent.test_health import ONE, VIP4, VIP6, service
from tests.unit.pods.networks import network

pytestmark = [pytest.mark.netns, needs.root]

NAMESPACE = "sl-doctor"
PASS_ALL = bytes.fromhex("b7000000020000009500000000000000")  # r0 = 2 (XDP_PASS); exit
ABSENT = Settings(Path("/sys/fs/bpf/no-such"), Path("/no-such"), Path("/no-such"))

PLAIN = Subject(ABSENT)
WANTED = Subject(ABSENT, gateway=gateway_of("auto"))


@pytest.fixture
def wan() -> Iterator[link.Link]:
    """wan0 and lan0, up, in a namespace that the test is in."""
    netns.create(NAMESPACE)
    try:
        with netns.inside(NAMESPACE):
            sysctl.set("net.ipv6.conf.default.accept_dad", "0")
            link.create_veth("lan0", "lan1", up=True)
            yield link.create_veth("wan0", "wan1", up=True)[0]
    finally:
        netns.remove(NAMESPACE)


def look(name: str, subject: Subject) -> list[Reported]:
    (check,) = (check for check in CHECKS if check.name == name)
    return run(check, subject)


def told(name: str, subject: Subject, device: str = "") -> list[tuple[str, str]]:
    """Status and text of one check, of one device."""
    found = look(name, subject)
    return [(one["status"], one["what"]) for one in found if device in one["what"]]


def everything_ok(name: str, subject: Subject) -> bool:
    return {one["status"] for one in look(name, subject)} == {"ok"}


# ---- programs of others ----


def _program(type: ProgramType) -> Program:
    return Program.load(type, "intruder", PASS_ALL)


def test_no_programs_of_others(wan: link.Link) -> None:
    assert everything_ok("foreign-programs", WANTED)


@needs.xdp_link
def test_an_xdp_program_of_others(wan: link.Link) -> None:
    with (
        _program(ProgramType.XDP) as program,
        Link.create(program, wan.ifindex, AttachType.XDP, XdpFlag.SKB_MODE),
    ):
        what = "device wan0 has a program of somebody else: intruder (xdp)"
        assert told("foreign-programs", WANTED, "wan0") == [("problem", what)]
        assert told("foreign-programs", PLAIN, "wan0") == [("warning", what)]
        assert told("foreign-programs", WANTED, "lan0") == [
            ("ok", "device lan0: no programs of others")
        ]
        tc_only = replace(WANTED, gateway=gateway_of("tc"))
        assert told("foreign-programs", tc_only, "wan0") == [("warning", what)], "not in its way"


@needs.tcx
@pytest.mark.parametrize(
    ("kind", "hook", "status"),
    [
        (AttachType.TCX_INGRESS, "tcx ingress", "problem"),
        (AttachType.TCX_EGRESS, "tcx egress", "warning"),
    ],
)
def test_a_tcx_program_of_others(wan: link.Link, kind: AttachType, hook: str, status: str) -> None:
    with _program(ProgramType.SCHED_CLS) as program, Link.create(program, wan.ifindex, kind):
        what = f"device wan0 has a program of somebody else: intruder ({hook})"
        assert told("foreign-programs", WANTED, "wan0") == [(status, what)]


def test_a_tc_filter_of_others(wan: link.Link) -> None:
    with _program(ProgramType.SCHED_CLS) as program:
        clsact.attach(wan.ifindex, program.fd, "theirs")
    what = "device wan0 has a program of somebody else: theirs (tc ingress)"
    assert told("foreign-programs", WANTED, "wan0") == [("problem", what)]
    assert "tc filter show dev wan0" in look("foreign-programs", WANTED)[0]["hint"]


# ---- firewall, routes ----


def nft(rules: str) -> None:
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)


INPUT_ONLY = "table inet f {\n chain in {\n type filter hook input priority 0\n drop\n }\n}"
FORWARD = """
table inet filter {
    chain fw {
        type filter hook forward priority 0; policy drop
        ip saddr 192.0.2.1 accept
        ip6 saddr 2001:db8::1 accept
    }
}
table ip6 guard {
    chain f {
        type filter hook forward priority 1
        ip6 daddr 2001:db8::2 drop
    }
}
table ip idle {
    chain f {
        type filter hook forward priority 1
    }
    chain n {
        type nat hook postrouting priority 100
        masquerade
    }
}
"""


@needs.command("nft")
def test_chains_that_translated_packets_do_not_meet(wan: link.Link) -> None:
    nft(FORWARD)
    assert told("firewall", WANTED) == [
        ("warning", "chain inet filter fw filters forwarded packets (rules: 2, policy drop)"),
        ("warning", "chain ip6 guard f filters forwarded packets (rules: 1)"),
    ]
    assert "nft list chain inet filter fw" in look("firewall", WANTED)[0]["hint"]


BESIDE = """
table ip raw {
    chain early {
        type filter hook prerouting priority -300
        ip saddr 192.0.2.1 drop
    }
}
table inet late {
    chain out {
        type filter hook postrouting priority 0
        ip6 daddr 2001:db8::2 drop
    }
}
table netdev first {
    chain in {
        type filter hook ingress device wan0 priority 0; policy drop
    }
}
"""


@needs.command("nft")
def test_chains_at_other_hooks(wan: link.Link) -> None:
    nft(BESIDE)
    assert sorted(told("firewall", WANTED)) == [
        ("warning", "chain inet late out filters packets at postrouting (rules: 1)"),
        ("warning", "chain ip raw early filters packets at prerouting (rules: 1)"),
        ("warning", "chain netdev first in filters packets at ingress (rules: 0, policy drop)"),
    ]


@needs.command("nft")
def test_a_firewall_for_the_host_alone(wan: link.Link) -> None:
    nft(INPUT_ONLY)
    assert told("firewall", WANTED) == [("ok", "no chain filters forwarded packets")]


def test_tables_of_the_older_iptables(wan: link.Link, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel here has none: what it would list is made up."""
    assert netfilter.legacy_tables() == []
    monkeypatch.setattr(netfilter, "legacy_tables", lambda: ["ip nat", "ip filter", "ip6 filter"])
    assert [what.split()[0] for _, what in told("firewall", WANTED)] == [
        "iptables-legacy",
        "ip6tables-legacy",
    ]


def ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True)


@needs.command("ip")
def test_policy_rules(wan: link.Link) -> None:
    assert everything_ok("policy-routes", WANTED)
    ip("rule add to 192.0.2.0/24 table 7 pref 70")
    assert told("policy-routes", WANTED) == [
        ("ok", "policy rule 70 (IPv4) looks up table 7"),
        ("ok", "next hops depend on the destination alone"),
    ]
    ip("-6 rule add fwmark 1 table 8 pref 80")
    assert told("policy-routes", WANTED)[-1] == (
        "warning",
        "next hops are not remembered: policy rule 80 (IPv6) looks at more than the destination",
    )


@needs.command("ip")
def test_multipath(wan: link.Link) -> None:
    address.add("wan0", IPv4Interface("192.0.2.1/24"))
    hops = "nexthop via 192.0.2.2 dev wan0 nexthop via 192.0.2.3 dev wan0"
    ip(f"route add 198.51.100.0/24 {hops}")
    status, what = told("policy-routes", WANTED)[-1]
    assert status == "warning"
    assert "198.51.100.0/24 has several next hops" in what


# ---- sysctls and devices ----


def test_reverse_path_filter(wan: link.Link) -> None:
    for name in ("all", "wan0", "lan0"):
        sysctl.set(("net", "ipv4", "conf", name, "rp_filter"), "0")
    assert everything_ok("rp-filter", WANTED)
    sysctl.set(("net", "ipv4", "conf", "wan0", "rp_filter"), "1")
    assert told("rp-filter", WANTED, "wan0") == [("warning", "device wan0: rp_filter 1: strict")]
    assert told("rp-filter", WANTED, "lan0") == [("ok", "device lan0: rp_filter 0")]
    sysctl.set("net.ipv4.conf.all.rp_filter", "2")  # the kernel takes the higher one
    assert everything_ok("rp-filter", WANTED)
    sysctl.set("net.ipv4.conf.all.rp_filter", "1")
    assert told("rp-filter", WANTED, "lan0") == [("warning", "device lan0: rp_filter 1: strict")]


@needs.command("ip")
def test_answers_to_checks(wan: link.Link) -> None:
    """By tunnels to IPv4 frontends: the backend's device and the way to the frontend decide."""
    for name in ("all", "wan0", "lan0"):
        sysctl.set(("net", "ipv4", "conf", name, "rp_filter"), "0")
    address.add("wan0", IPv4Interface("192.31.196.1/24"))
    address.add("lan0", IPv4Interface("10.0.0.254/24"))

    def of(**spec: object) -> tuple[str, str]:
        ((status, what),) = told(
            "health-answers", replace(WANTED, services=(service(ONE, **spec),))
        )
        return status, what

    dropped = "device lan0: rp_filter {} drops answers to checks from {}, for Service web"
    assert of()[0] == "ok"
    sysctl.set("net.ipv4.conf.lan0.rp_filter", "1")
    assert of() == ("problem", dropped.format(1, VIP4))
    assert of(mode="nat", sourcePool=["10.0.0.8/30"])[0] == "ok", "from the backend's own address"
    assert of(frontends=[{"address": VIP6, "port": 80}])[0] == "ok", "IPv6 has no such filter"
    assert of(check=None)[0] == "ok"
    (found,) = look("health-answers", replace(WANTED, services=(service(ONE),)))
    assert "lan0.rp_filter=0, as there is no route" in found["hint"]
    ip("route add default via 192.31.196.9")
    assert of() == ("problem", dropped.format(1, VIP4))
    (found,) = look("health-answers", replace(WANTED, services=(service(ONE),)))
    assert found["hint"] == "sysctl -w net.ipv4.conf.lan0.rp_filter=2"
    sysctl.set("net.ipv4.conf.lan0.rp_filter", "2")
    assert of()[0] == "ok"
    ip(f"route add unreachable {VIP4}")
    assert of() == ("problem", dropped.format(2, VIP4))
    sysctl.set("net.ipv4.conf.lan0.rp_filter", "1")
    hops = "nexthop via 192.31.196.9 dev wan0 nexthop via 10.0.0.9 dev lan0"
    ip(f"route replace {VIP4} {hops}")
    assert of()[0] == "ok", "one of several ways is enough"
    address.add("wan0", IPv4Interface(f"{VIP4}/32"))
    assert of()[0] == "ok", "it is checked at its own address"


def test_forwarding(wan: link.Link) -> None:
    set_forwarding("wan0", "lan0")
    assert everything_ok("forwarding", WANTED)
    sysctl.set("net.ipv6.conf.wan0.forwarding", "0")
    assert told("forwarding", WANTED, "wan0") == [
        ("problem", "device wan0: ipv6 forwarding is 0, not 1")
    ]
    assert told("forwarding", PLAIN, "wan0") == [
        ("ok", "device wan0: ipv6 forwarding is 0, not 1: an apply sets it")
    ]


def set_forwarding(*devices: str) -> None:
    for device in devices:
        for family in ("ipv4", "ipv6"):
            sysctl.set(("net", family, "conf", device, "forwarding"), "1")


@pytest.mark.parametrize(("value", "status"), [("0", "ok"), ("1", "warning"), ("2", "ok")])
def test_router_advertisements(wan: link.Link, value: str, status: str) -> None:
    sysctl.set("net.ipv6.conf.wan0.accept_ra", value)
    assert told("accept-ra", WANTED, "wan0")[0][0] == "ok", "it does not forward"
    set_forwarding("wan0")
    assert told("accept-ra", WANTED, "wan0")[0][0] == status


def test_proxies(wan: link.Link) -> None:
    assert everything_ok("proxy", WANTED)
    sysctl.set("net.ipv4.conf.wan0.proxy_arp", "1")
    sysctl.set("net.ipv6.conf.wan0.proxy_ndp", "1")
    assert told("proxy", WANTED, "wan0") == [
        ("warning", "device wan0: ipv4 proxy_arp and ipv6 proxy_ndp on")
    ]


@needs.big_tcp
def test_big_tcp(wan: link.Link) -> None:
    def wanted(mode: Mode, max_segment_size: int | str | None = None) -> Subject:
        prefix = {"name": "all", "prefix": "64:ff9b::/96", "ipv4": ["192.175.48.0/24"]}
        gateway = gateway_of("auto", prefixes=[{**prefix, "maxSegmentSize": max_segment_size}])
        attached = Attachment("wan0", wan.ifindex, mode, 1)
        return replace(WANTED, gateway=gateway, attachments=(attached,))

    link.set_mtu("lan0", 1400)
    assert everything_ok("big-tcp", wanted("tcx"))
    big = network(RANGE, uplinks=[{"name": "lan0"}], bigTcp={"ipv6": 131072})
    (found,) = [one for one in look("big-tcp", replace(wanted("tcx"), network=big)) if one["hint"]]
    assert found["what"] == "device wan0: IPv4 up to 65536 bytes, and pods send up to 131072"
    assert found["hint"].endswith("ip link set dev wan0 gso_ipv4_max_size 131072")
    gso.set_sizes("wan0", 131072)
    assert told("big-tcp", wanted("xdp"), "wan0") == [
        ("ok", "device wan0: BIG TCP, IPv6 up to 131072 and IPv4 up to 131072 bytes")
    ]
    (found,) = [one for one in look("big-tcp", wanted("tcx")) if "wan0" in one["what"]]
    assert (found["status"], found["hint"]) == (
        "warning",
        "ip link set dev wan0 gro_ipv4_max_size 65536",
    )
    for size, status in ((1332, "ok"), (1333, "warning"), ("auto", "ok"), (None, "ok")):
        assert told("big-tcp", wanted("xdp", size), "wan0")[0][0] == status, size
    (found,) = [one for one in look("big-tcp", wanted("xdp", 1460)) if "wan0" in one["what"]]
    assert found["what"].endswith("and maxSegmentSize of all (1460)")
    assert found["hint"].startswith("at most 1332")
    spec = {"uplinks": [{"name": "wan0"}], "bigTcp": {"ipv4": 131072, "ipv6": 131072}}
    asked = replace(wanted("tcx"), network=network(RANGE, **spec))
    assert told("big-tcp", asked, "wan0") == [
        (
            "ok",
            "device wan0: BIG TCP, IPv6 up to 131072 and IPv4 up to 131072 bytes, "
            "as Network pods asks",
        )
    ]
    for other in (
        network(RANGE, uplinks=[{"name": "lan0"}], bigTcp={"ipv4": 131072}),
        network(RANGE, uplinks=[{"name": "wan0"}], bigTcp={"ipv6": 131072}),
    ):
        assert told("big-tcp", replace(asked, network=other), "wan0")[0][0] == "warning"


# ---- pods ----

RANGE = "2001:db8:64:1::/64"
PODS = Subject(ABSENT, network=network(RANGE, uplinks=[{"name": "wan0"}]))


def redirecting(value: str) -> Subject:
    return Subject(ABSENT, network=network(RANGE, redirect=value))


@needs.command("nft")
def test_chains_that_pods_do_not_meet(wan: link.Link) -> None:
    assert everything_ok("pod-firewall", PODS)
    nft(FORWARD)
    past = "what pods send and get is redirected past it"
    assert told("pod-firewall", PODS) == [
        (
            "warning",
            f"chain inet filter fw filters forwarded packets (rules: 2, policy drop): {past}",
        ),
        ("warning", f"chain ip6 guard f filters forwarded packets (rules: 1): {past}"),
        ("warning", f"chain ip idle n translates packets at postrouting (rules: 1): {past}"),
    ]
    assert "nft list chain ip idle n; " in look("pod-firewall", PODS)[2]["hint"]
    assert everything_ok("pod-firewall", redirecting("never"))


@needs.command("ip")
def test_policy_rules_and_pods(wan: link.Link) -> None:
    assert everything_ok("pod-policy", PODS)
    ip("rule add from 192.0.2.0/24 table 7 pref 70")
    ip("-6 rule add fwmark 1 table 8 pref 80")
    ip("-6 rule add from 2001:db8:9::/64 prohibit pref 90")
    marks, forbids = (
        "policy rule 80 (IPv6) looks at marks",
        "policy rule 90 (IPv6) forbids or jumps",
    )
    assert told("pod-policy", PODS) == [
        ("ok", "policy rule 70 (IPv4) holds for what leaves the node"),
        ("warning", f"{marks}: what leaves the node goes by the host's stack"),
        ("warning", f"{forbids}: what comes to pods goes past it"),
    ]
    told_of = told("pod-policy", redirecting("always"))
    assert told_of[1] == ("warning", f"{marks}: redirects go past it")
    assert everything_ok("pod-policy", redirecting("never"))


def test_uplinks(wan: link.Link) -> None:
    sysctl.set("net.ipv6.conf.all.forwarding", "1")
    set_forwarding("wan0")
    assert told("pod-uplinks", PODS) == [("ok", "uplink wan0 forwards IPv4 and IPv6")]
    sysctl.set("net.ipv4.conf.wan0.forwarding", "0")
    assert told("pod-uplinks", PODS) == [("problem", "uplink wan0 does not forward IPv4 and IPv6")]
    link.rename("wan0", "wan9")
    assert told("pod-uplinks", PODS) == [("problem", "there is no uplink wan0")]


def test_gro(wan: link.Link) -> None:
    assert everything_ok("gro", WANTED)
    ethtool.set_feature("wan0", "rx-gro", on=True)
    ethtool.set_feature("wan0", "rx-gro-list", on=True)
    ((status, what),) = told("gro", WANTED, "wan0")
    assert status == "problem"
    assert "rx-gro-list on" in what
    assert told("gro", PLAIN, "wan0")[0][0] == "ok", "an apply switches it off"


@pytest.mark.parametrize(
    ("mtu", "status"), [(1500, "ok"), (1400, "ok"), (1399, "warning"), (1279, "problem")]
)
def test_mtu(wan: link.Link, mtu: int, status: str) -> None:
    link.set_mtu("wan0", mtu)
    subject = replace(WANTED, gateway=gateway_of("auto", lowestIPv6MTU=1400))
    assert told("mtu", subject, "wan0")[0][0] == status


def test_devices_that_are_down_or_gone(wan: link.Link) -> None:
    assert told("device", PLAIN, "wan0") == [("ok", "device wan0: up, with carrier, no program")]
    assert told("device", WANTED, "wan0")[0][0] == "problem", "no program is attached"
    link.set_down("wan1")
    assert told("device", PLAIN, "wan0") == [("ok", "device wan0: up, without carrier, no program")]
    link.set_down("wan0")
    assert told("device", WANTED, "wan0") == [("problem", "device wan0: down, no program")]
    link.delete("wan0")
    assert told("device", WANTED, "wan0") == [("problem", "there is no device wan0")]
    link.rename("lan0", "lan9")
    renamed = replace(WANTED, bound={"lan0": link.index("lan9")})
    assert told("device", renamed, "lan9")[0][1].startswith("device lan9: ")
    assert everything_ok("mtu", WANTED) is False, "of no device that is there"


def test_drivers(wan: link.Link) -> None:
    ((status, what),) = told("native-xdp", WANTED, "wan0")
    assert what.startswith("device wan0, driver veth: ")
    assert status == "ok"


# ---- a gateway that is well ----


@pytest.mark.parametrize("attach", ["tc", "xdp", "xdp-generic"])
def test_our_own_programs_are_not_foreign(attach: str) -> None:
    with raise_edge(attach) as edge, netns.inside(edge.gateway):
        attachments = tuple(edge.datapath.attachments())
        subject = Subject(
            Settings(bpffs=edge.datapath.root),
            gateway=gateway_of(attach),
            attachments=attachments,
        )
        for name in ("device", "mtu", "foreign-programs", "forwarding", "gro", "native-xdp"):
            assert everything_ok(name, subject), look(name, subject)
        (mode,) = {one.mode for one in attachments}
        assert told("device", subject, "wan0") == [
            ("ok", f"device wan0: up, with carrier, attached: {mode}")
        ]
        forgotten = replace(subject, attachments=())
        assert told("foreign-programs", forgotten, "wan0")[0][0] == "problem"


# ---- without an agent ----


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        Path(f"/sys/fs/bpf/sl-none-{os.getpid()}"), tmp_path / "state", tmp_path / "run"
    )


def test_a_machine_without_sixlane(wan: link.Link, settings: Settings, tmp_path: Path) -> None:
    checks = diagnose_without_agent(settings)["checks"]
    assert {one["name"] for one in checks} == {check.name for check in CHECKS}
    by_name = {one["name"]: one for one in checks}
    assert by_name["agent"]["status"] == "warning"
    assert by_name["data-path"]["status"] == "ok"
    assert list(tmp_path.iterdir()) == [], "it makes no file"
    assert link.find("probe0") is None


def test_an_agent_that_runs_is_to_be_asked(settings: Settings) -> None:
    settings.run_dir.mkdir()
    with only_one(settings.lock), pytest.raises(Held, match="another sixlaned runs already"):
        diagnose_without_agent(settings)


def test_an_agent_and_what_it_left(wan: link.Link, settings: Settings) -> None:
    """The agent tells what it knows; without it, the same is read from the store and the pins."""
    for directory in (settings.state_dir, settings.run_dir):
        directory.mkdir()
    try:
        agent = Agent.open(settings)
        try:
            agent.apply(Transaction([put(gateway_of("tc"))]))
            running = _by_name(agent.doctor()["checks"])
        finally:
            agent.close()
        left = _by_name(diagnose_without_agent(settings)["checks"])
    finally:
        teardown_without_agent(settings)
    assert running["agent"] == [("ok", f"the agent runs (pid {os.getpid()})")]
    assert left["agent"] == [("warning", "no agent runs")]
    for seen in (running, left):
        assert {status for status, _ in seen["device"]} == {"ok"}, seen["device"]
        assert "Gateway edge created" in seen["last-change"][0][1]
        assert seen["originals"][0][1].endswith("settings are kept, none of an earlier start")
        assert seen["foreign-programs"][0][0] == "ok"


def _by_name(checks: Sequence[Reported]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for one in checks:
        found.setdefault(one["name"], []).append((one["status"], one["what"]))
    return found


# ---- the probes themselves ----


@pytest.mark.parametrize(
    ("kind", "has"), [("veth", True), ("bridge", True), ("no-such-kind", False)]
)
def test_kinds_of_devices(kind: str, has: bool) -> None:
    assert net.has_device_kind(kind) is has
    assert link.find("probe0") is None


def test_other_features_of_the_network() -> None:
    assert net.has_qdisc("pfifo")
    assert not net.has_qdisc("no-such-qdisc")
    assert net.has_congestion_control("cubic")
    assert not net.has_congestion_control("no-such-control")


def test_helpers_are_tried() -> None:
    """One that no kernel has, by the same way."""
    call = features._call
    assert features._loads(ProgramType.XDP, features._program(call(5)))  # bpf_ktime_get_ns
    assert not features._loads(ProgramType.XDP, features._program(call(9999)))
    assert not features._loads(ProgramType.XDP, features._program(call(155))), "tc's alone"
    assert features.can_hold(1 << 20)
    assert not features.can_hold(1 << 43)


def test_a_namespace_for_a_moment(wan: link.Link) -> None:
    here = netns.cookie()
    assert netns.in_new(netns.cookie) != here
    assert netns.cookie() == here
    assert netns.in_new(lambda: [one.name for one in link.list_links()][:1]) == ["lo"]
    with pytest.raises(LookupError, match="as it was"):
        netns.in_new(_raise)


def _raise() -> None:
    raise LookupError("as it was")
