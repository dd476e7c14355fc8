# SPDX-License-Identifier: Apache-2.0
"""The doctor's table, its page, and what it says of sixlane itself. Devices: tests/netns."""

import grp
from dataclasses import replace
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from sixlane.agent.doctor import CHECKS, Check, Finding, Subject, pods, system
from sixlane.agent.doctor.check import Reported, feature, run
from sixlane.agent.doctor.document import PAGE, render
from sixlane.agent.health import BackendHealth, HealthMetrics
from sixlane.agent.settings import Settings
from sixlane.dns64 import process
from sixlane.errors import KernelError, NotSupported
from sixlane.model import Gateway, Service
from sixlane.pods.pod import Attachment, Lease, PodName
from tests.unit.agent.fakes import gateway
from tests.unit.agent.test_health import service as checked_service
from tests.unit.pods.networks import network


def look(name: str, subject: Subject) -> list[Reported]:
    (check,) = (check for check in CHECKS if check.name == name)
    return run(check, subject)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "state").mkdir()
    return Settings(tmp_path / "bpf" / "sixlane", tmp_path / "state", tmp_path / "run")


def test_the_table_is_complete() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
    assert [name for name in names if not name.replace("-", "").isalnum()] == []
    assert [
        check.name for check in CHECKS if not (check.about and check.costs and check.hint)
    ] == []


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == render()


def test_a_check_that_is_refused_says_so() -> None:
    def refused(subject: Subject) -> list[Finding]:
        raise KernelError(1, "list chains", "this needs root")

    (told,) = run(Check("any", "a", "costs much", "mend it", refused), Subject(Settings()))
    assert told == {
        "name": "any",
        "status": "warning",
        "what": "cannot be known: list chains: EPERM (Operation not permitted)",
        "costs": "costs much",
        "hint": "this needs root",
    }


def test_a_defect_of_ours_stops_no_other_check() -> None:
    def broken(subject: Subject) -> list[Finding]:
        raise LookupError("no such thing")

    (told,) = run(Check("any", "a", "c", "h", broken), Subject(Settings()))
    assert told["status"] == "warning"
    assert told["what"] == "cannot be known: LookupError: no such thing"


@pytest.mark.parametrize(
    ("has", "status", "what", "hint"),
    [(True, "ok", "TCX", ""), (False, "missing", "no TCX", "a newer kernel")],
)
def test_features(has: bool, status: str, what: str, hint: str) -> None:
    check = feature("tcx", "about", "costs", "a newer kernel", lambda: has, "TCX")
    (told,) = run(check, Subject(Settings()))
    assert (told["status"], told["what"], told["hint"]) == (status, what, hint)


# ---- the store ----


def test_a_store_that_can_be_written(settings: Settings) -> None:
    (told,) = look("store", Subject(settings))
    assert told["what"].startswith(f"{settings.state_dir} can be written")
    assert list(settings.state_dir.iterdir()) == [], "the try leaves nothing"


def test_a_state_directory_that_is_none(settings: Settings) -> None:
    settings.state_dir.rmdir()
    assert look("store", Subject(settings))[0]["status"] == "ok", "the agent makes it"
    settings.state_dir.write_text("a file")
    (told,) = look("store", Subject(settings))
    assert (told["status"], told["what"]) == (
        "problem",
        f"cannot write in {settings.state_dir}: Not a directory",
    )


def test_a_store_that_refuses(settings: Settings) -> None:
    (told,) = look("store", Subject(settings, store_refusal="the disk is full"))
    assert (told["status"], told["what"]) == ("problem", "no change is taken: the disk is full")


# ---- sixlane itself ----


def test_what_the_agent_knows(settings: Settings) -> None:
    subject = Subject(
        settings,
        agent_pid=17,
        last_change="revision 3, 2026-11-22T20:07:00Z: Gateway edge changed",
        problems=("gateway: device wan0 is down", "store: full"),
        originals=3,
        void_originals=2,
    )
    assert look("agent", subject)[0]["what"] == "the agent runs (pid 17)"
    assert "Gateway edge changed" in look("last-change", subject)[0]["what"]
    told = look("status", subject)
    assert [(one["status"], one["what"]) for one in told] == [
        ("problem", "gateway: device wan0 is down"),
        ("problem", "store: full"),
    ]
    (told_originals,) = look("originals", subject)
    assert told_originals["status"] == "warning"
    assert told_originals["what"].startswith("2 of 3 kept settings")


@pytest.mark.conformance(72)
def test_mappings_that_overlap(settings: Settings) -> None:
    wide = {"ipv4": "198.51.100.0/24", "ipv6": "2001:db8:1::/120"}
    narrow = {"ipv4": "198.51.100.7", "ipv6": "2001:db8:2::7"}
    for eam, status, what in (
        ([wide], "ok", "no mappings overlap"),
        ([wide, narrow], "warning", "198.51.100.7/32 in spec.prefixes[0].eam[1] is a part of"),
    ):
        wanted = gateway(prefixes=[{"name": "one", "prefix": "64:ff9b::/96", "eam": eam}])
        assert isinstance(wanted, Gateway)
        (told,) = look("mappings", Subject(settings, gateway=wanted))
        assert told["status"] == status
        assert told["what"].startswith(what)


CHECKED = BackendHealth("well", 1.0, "tunnel")
LACKS = replace(CHECKED, is_made=False, result="not checked: operation not permitted")
FULL = replace(LACKS, result="not checked: too many open files")


def checked(*names: str) -> tuple[Service, ...]:
    return tuple(checked_service("10.0.0.1", name=name) for name in names)


@pytest.mark.parametrize(
    ("names", "health", "status", "what"),
    [
        ((), None, "ok", "no Service has checks"),
        (("web",), None, "warning", "whether Service web can be checked cannot be known: no agent"),
        (("web",), HealthMetrics(None), "ok", "Service web: not in force"),
        (("web",), HealthMetrics(True), "ok", "sixlane-health runs, for Service web"),
        (
            ("a", "b", "c", "d", "e"),
            HealthMetrics(False),
            "problem",
            "sixlane-health has not been heard of, and Services a, b, c and 2 more are not checked",
        ),
    ],
)
def test_whether_anybody_checks(
    names: tuple[str, ...], health: HealthMetrics | None, status: str, what: str
) -> None:
    services = (*checked(*names), checked_service("10.0.0.1", name="unchecked", check=None))
    (told,) = look("health", Subject(Settings(), services=services, health=health))
    assert told["status"] == status
    assert told["what"].startswith(what)
    if status == "problem":
        assert told["hint"].startswith("systemctl enable --now sixlane-health")
        assert "stay as they were last seen" in told["costs"]


def test_what_checks_lack() -> None:
    """Told by what is lacking, and while somebody is there to lack it."""
    backends = {
        "web": {"10.0.0.1": LACKS, "10.0.0.2": LACKS, "10.0.0.3": CHECKED},
        "shop": {"10.0.0.1": LACKS, "10.0.0.2": FULL},
    }
    subject = Subject(Settings(), health=HealthMetrics(True, backends))
    privilege, files = look("health-checks", subject)
    assert (privilege["status"], privilege["what"]) == (
        "problem",
        "backends of Services web, shop: not checked: operation not permitted",
    )
    assert "CAP_NET_RAW" in privilege["hint"]
    assert files["what"] == "backends of Service shop: not checked: too many open files"
    assert "LimitNOFILE" in files["hint"]
    for health in (None, HealthMetrics(False, backends), HealthMetrics(True, {"web": {}})):
        (told,) = look("health-checks", replace(subject, health=health))
        assert told["status"] == "ok"


def test_what_is_not_there(settings: Settings) -> None:
    subject = Subject(settings)
    assert look("agent", subject)[0]["status"] == "warning"
    assert look("last-change", subject)[0]["what"] == "nothing was ever applied"
    assert look("status", subject)[0]["status"] == "ok"
    assert look("originals", subject)[0]["status"] == "ok"


def test_a_group_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "GROUP", "no-such-group")
    assert look("group", Subject(Settings()))[0]["what"] == "no group no-such-group"
    monkeypatch.setattr(system, "GROUP", grp.getgrgid(0).gr_name)
    assert look("group", Subject(Settings()))[0]["status"] == "ok"


# ---- nft ----


@pytest.mark.parametrize(("pool4", "status"), [(["192.31.197.8"], "warning"), ([], "missing")])
def test_no_nft(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, pool4: list[str], status: str
) -> None:
    pools = [{"name": "pods", "ipv4": pool4}] if pool4 else []
    monkeypatch.setenv("PATH", "/nowhere")
    stored = gateway(pool4=pools)
    assert isinstance(stored, Gateway)
    (told,) = look("nft", Subject(settings, gateway=stored))
    assert (told["status"], told["what"]) == (status, "no nft")
    assert told["hint"].startswith("apt install nftables")


def test_nft(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nft"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (told,) = look("nft", Subject(settings))
    assert (told["status"], told["what"], told["hint"]) == ("ok", str(program), "")


# ---- BIND ----


def _named(directory: Path, text: str) -> None:
    program = directory / "named"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(("wanted", "status"), [(True, "problem"), (False, "missing")])
def test_no_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, wanted: bool, status: str
) -> None:
    def none(name: str) -> str:
        raise NotSupported("named", "apt install bind9")

    monkeypatch.setattr(process, "program", none)
    (told,) = look("bind", Subject(settings, wants_dns64=wanted))
    assert (told["status"], told["what"], told["hint"]) == (status, "no named", "apt install bind9")


def test_named_that_does_not_run(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _named(tmp_path, "exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    (told,) = look("bind", Subject(settings, wants_dns64=True))
    assert (told["status"], told["what"]) == ("problem", f"{tmp_path}/named does not run")


def test_named_without_its_user(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _named(tmp_path, "echo 'BIND 9.18.1 (Stable Release)'")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr(process, "USER", "no-such-user")
    (told,) = look("bind", Subject(settings))
    assert told["status"] == "warning"
    assert (
        told["what"] == "BIND 9.18.1, but not as user no-such-user: there is no user no-such-user"
    )


# ---- pods ----

PLUGIN, CONFIGURATIONS = "opt/cni/bin/sixlane", "etc/cni/net.d"


@pytest.fixture
def of_pods(settings: Settings, tmp_path: Path) -> Subject:
    """A node with a Network, and nothing else."""
    (tmp_path / "root" / CONFIGURATIONS).mkdir(parents=True)
    (tmp_path / "root" / PLUGIN).parent.mkdir(parents=True)
    (tmp_path / "root/usr/lib/cni").mkdir(parents=True)
    wanted = network("2001:db8:64:1::/64")
    return Subject(settings, network=wanted, root=tmp_path / "root")


def test_a_node_without_pods(settings: Settings) -> None:
    checks = [check.name for check in pods.CHECKS]
    assert len(checks) == 6
    for name in checks:
        (told,) = look(name, Subject(settings))
        assert (told["status"], told["what"]) == ("ok", "there is no Network")


def test_the_plugin(of_pods: Subject) -> None:
    path = of_pods.root / PLUGIN
    (told,) = look("cni-plugin", of_pods)
    assert told["status"] == "warning"
    assert told["what"].startswith(f"no plugin sixlane in {path.parent} or ")
    assert told["hint"].startswith("ln -s ")
    path.symlink_to("/no/such/file")
    (told,) = look("cni-plugin", of_pods)
    assert (told["status"], told["what"]) == ("problem", f"{path} leads to nothing")
    path.unlink()
    path.write_text("#!/bin/sh\n")
    path.chmod(0o644)
    (told,) = look("cni-plugin", of_pods)
    assert (told["status"], told["hint"]) == ("problem", f"chmod 755 {path}")
    path.chmod(0o755)
    (told,) = look("cni-plugin", of_pods)
    assert (told["status"], told["what"]) == ("ok", f"{path} is there")
    other = of_pods.root / "usr/lib/cni/sixlane"
    path.rename(other)
    assert look("cni-plugin", of_pods)[0]["what"] == f"{other} is there"


def test_the_configuration(of_pods: Subject) -> None:
    directory = of_pods.root / CONFIGURATIONS

    def told() -> tuple[str, str]:
        (found,) = look("cni-configuration", of_pods)
        return found["status"], found["what"]

    assert told() == ("warning", f"no network configuration in {directory}")
    theirs = directory / "05-bridge.conf"
    theirs.write_text('{"name": "other", "type": "bridge"}')
    assert told() == ("warning", f"no configuration in {directory} names sixlane")
    ours = directory / "10-sixlane.conflist"
    ours.write_text('{"name": "pods", "plugins": [{"type": "sixlane"}, {"type": "portmap"}]}')
    assert told() == ("problem", f"{theirs} comes before {ours}")
    theirs.rename(directory / "05-bridge.conf.old")
    assert told() == ("ok", f"{ours} comes first")
    for text in ("{", "[]", '{"plugins": 1}'):
        theirs.write_text(text)
        found = look("cni-configuration", of_pods)
        assert [one["status"] for one in found] == ["problem", "problem"], text
        assert found[0]["what"].startswith(f"{theirs} cannot be read: ")


def test_leases_of_pods_that_have_gone(of_pods: Subject, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.touch()

    def lease(number: int, netns: Path, *, ready: bool = True) -> Lease:
        attachment = Attachment(f"c{number}", "eth0")
        address = IPv6Address(f"2001:db8:64:1::{number}")
        device = attachment.host_device
        pod = PodName("shop", f"web{number}", "")
        return Lease(
            attachment, str(netns), pod, "default", (address,), None, "veth", device, 1500, ready
        )

    alive = lease(1, there, ready=False)  # its device is yet to be made
    told = look("pod-leases", replace(of_pods, leases=(alive,)))
    assert [(one["status"], one["what"]) for one in told] == [
        ("ok", "all leases (1) are of pods that are there")
    ]
    lost = lease(2, there)
    gone = [lease(number, tmp_path / "gone") for number in range(3, 9)]
    told = look("pod-leases", replace(of_pods, leases=(alive, lost, *gone)))
    assert {one["status"] for one in told} == {"warning"}
    what = [one["what"] for one in told]
    assert what[0] == f"shop/web2 has addresses, but its device {lost.host_device} has gone"
    namespace = f"its network namespace {tmp_path}/gone has gone"
    assert what[1] == f"shop/web3 has addresses, but {namespace}"
    assert what[5:] == ["2 more leases are of pods that have gone"]
