# SPDX-License-Identifier: Apache-2.0
"""The rest of the machine, and sixlane itself."""

import grp
import os
import re
import shutil
import subprocess
from collections.abc import Iterator

from sixlane.agent.doctor.check import Check, Finding, Status, Subject
from sixlane.agent.firewall import obstacles
from sixlane.agent.settings import GROUP
from sixlane.dns64 import Place, process
from sixlane.errors import NotSupported
from sixlane.net import policy

_LEAST_FREE_BYTES = 16 << 20


def _firewall(subject: Subject) -> Iterator[Finding]:
    found = [one for one in obstacles() if one.chain is None or one.chain.kind == "filter"]
    for one in found:
        forbid = "what it forbids, forbid by loadBalancerSourceRanges, or before the gateway"
        hint = f"look: {one.look}; {forbid}" if one.chain else f"look: {one.look}"
        yield Finding("warning", one.what, hint)
    if not found:
        yield Finding("ok", "no chain filters forwarded packets")


def _nft(subject: Subject) -> Iterator[Finding]:
    stateful = subject.gateway is not None and bool(subject.gateway.spec.pool4)
    nft = shutil.which("nft")
    if nft:
        yield Finding("ok", nft)
    else:
        yield Finding("warning" if stateful else "missing", "no nft")


def _policy(subject: Subject) -> Iterator[Finding]:
    for rule in policy.policy_rules():
        if not rule.is_default and rule.by_destination:
            what = f"policy rule {rule.priority} (IPv{rule.version}) looks up table {rule.table}"
            yield Finding("ok", what)
    why = policy.depends_on_more_than_destination()
    if why:
        yield Finding("warning", f"next hops are not remembered: {why}")
    else:
        yield Finding("ok", "next hops depend on the destination alone")


def _mappings(subject: Subject) -> Iterator[Finding]:
    warnings = subject.gateway.warnings if subject.gateway else ()
    for warning in warnings:
        yield Finding("warning", warning)
    if not warnings:
        yield Finding("ok", "no mappings overlap")


def _originals(subject: Subject) -> Iterator[Finding]:
    if subject.void_originals:
        what = f"{subject.void_originals} of {subject.originals} kept settings are of an earlier"
        yield Finding("warning", f"{what} start, or of another network namespace")
    else:
        yield Finding("ok", f"{subject.originals} settings are kept, none of an earlier start")


def _store(subject: Subject) -> Iterator[Finding]:
    directory = subject.settings.state_dir
    if subject.store_refusal:
        yield Finding("problem", f"no change is taken: {subject.store_refusal}")
        return
    try:
        fd = os.open(directory, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, bytes(4096))
            os.fsync(fd)
        finally:
            os.close(fd)
        room = os.statvfs(directory)
    except FileNotFoundError:
        yield Finding("ok", f"{directory} is not there yet: sixlaned makes it")
        return
    except OSError as error:
        yield Finding("problem", f"cannot write in {directory}: {os.strerror(error.errno or 0)}")
        return
    free = room.f_bavail * room.f_frsize
    what = f"{directory} can be written, {free >> 20} MiB free"
    yield Finding("ok" if free >= _LEAST_FREE_BYTES else "warning", what)


def _bind(subject: Subject) -> Iterator[Finding]:
    worst: Status = "problem" if subject.wants_dns64 else "missing"
    try:
        named = process.program("named")
    except NotSupported as error:
        yield Finding(worst, "no named", error.hint)
        return
    version = _version(named)
    if version is None:
        yield Finding(worst, f"{named} does not run")
        return
    place = Place(subject.settings.run_dir, subject.settings.state_dir)
    user, why = process.unprivileged_user(place.all_run, place.all_state)
    if user is None:
        yield Finding("warning", f"BIND {version}, but not as user {process.USER}: {why}")
    else:
        yield Finding("ok", f"BIND {version}, as user {user}")


def _version(named: str) -> str | None:
    try:
        done = subprocess.run([named, "-v"], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"BIND (\S+)", done.stdout)
    return found[1] if found else "of an unknown version"


def _group(subject: Subject) -> Iterator[Finding]:
    try:
        members = grp.getgrnam(GROUP).gr_mem
    except KeyError:
        yield Finding("missing", f"no group {GROUP}")
        return
    yield Finding("ok", f"group {GROUP}: {', '.join(members) or 'no members'}")


def _agent(subject: Subject) -> Iterator[Finding]:
    if subject.agent_pid is None:
        yield Finding("warning", "no agent runs")
    else:
        yield Finding("ok", f"the agent runs (pid {subject.agent_pid})")


def _last_change(subject: Subject) -> Iterator[Finding]:
    if subject.last_change is None:
        yield Finding("ok", "nothing was ever applied")
    else:
        yield Finding("ok", f"the last change: {subject.last_change}")


def _status(subject: Subject) -> Iterator[Finding]:
    for problem in subject.problems:
        yield Finding("problem", problem)
    if not subject.problems:
        yield Finding("ok", "no problems in the status")


CHECKS = (
    Check(
        "firewall",
        "filter chains of nftables at ingress, prerouting, forward and postrouting (iptables-nft's "
        "are among them), and tables of iptables-legacy",
        "translated packets are redirected from device to device and meet none of these rules",
        "what they forbid, forbid by loadBalancerSourceRanges, or before the gateway",
        _firewall,
    ),
    Check(
        "nft",
        "the program nft, which puts fragments of pool4's sessions in order",
        "fragments that come in another order than they were sent in are lost, where a session is "
        "needed",
        "apt install nftables; then change the Gateway, or start sixlaned anew",
        _nft,
    ),
    Check(
        "policy-routes",
        "policy rules, multipath routes and next-hop groups",
        "the kernel's routing is asked for each packet: 100 ns for IPv4, 220 ns for IPv6",
        "ip rule; ip -6 rule; ip route. None is needed if they are meant so",
        _policy,
    ),
    Check(
        "mappings",
        "the Gateway's explicit address mappings (`eam`) do not overlap",
        "the longest prefix decides in each family by itself: an address in the overlap may be "
        "translated to one that is not translated back to it",
        "none is needed if they are meant so; else give the wider one in parts, without the other",
        _mappings,
    ),
    Check(
        "originals",
        "what was kept of settings before us is of this start of the machine",
        "nothing: they are void, as such settings do not outlive a start",
        "none is needed; sixlane teardown forgets them",
        _originals,
    ),
    Check(
        "store",
        "the state directory can be written, and the store takes changes",
        "no change can be applied; what is in force stays",
        "mend the file system, or make room on it",
        _store,
    ),
    Check(
        "bind",
        "BIND's named is there, runs, and can be run as user bind",
        "no Dns64; or named runs as root",
        "apt install bind9 bind9-utils; let user bind enter the directories",
        _bind,
    ),
    Check(
        "group",
        "the group sixlane, whose members may use the API's socket",
        "only root can use the command",
        "groupadd --system sixlane; usermod -aG sixlane USER",
        _group,
    ),
    Check(
        "agent",
        "an agent runs",
        "packets are forwarded, but changes of devices are not followed, nothing can be applied, "
        "and a named that ends is not started again",
        "systemctl start sixlaned, or sixlaned",
        _agent,
    ),
    Check(
        "last-change",
        "when the desired state last changed, and how",
        "nothing: it is told for whoever looks for the cause of a change",
        "none is needed",
        _last_change,
    ),
    Check(
        "status",
        "what `sixlane status` names as problems",
        "what it says",
        "sixlane status; the agent's log",
        _status,
    ),
)
