# SPDX-License-Identifier: Apache-2.0
"""Pods, where there is a Network."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sixlane.agent.doctor.check import Check, Finding, Look, Subject
from sixlane.agent.firewall import obstacles
from sixlane.agent.pod_node import Uplink, is_unsettled
from sixlane.agent.pod_way import way_beside
from sixlane.model import Network
from sixlane.net import link, policy
from sixlane.pods.pod import Lease

TYPE = "sixlane"
_PLUGINS = ("opt/cni/bin", "usr/lib/cni")
_CONFIGURATIONS = "etc/cni/net.d"
_SUFFIXES = {".conf", ".conflist", ".json"}
"""What runtimes read there; of the names, the first one counts."""
_BY_THE_STACK = "what leaves the node goes by the host's stack"
_TOLD = 5  # leases that are told one by one


def _with_network(look: Look) -> Look:
    """Nothing of it matters to a node without pods."""

    def look_if_there(subject: Subject) -> Iterator[Finding]:
        if subject.network is None:
            yield Finding("ok", "there is no Network")
        else:
            yield from look(subject)

    return look_if_there


def _plugin(subject: Subject) -> Iterator[Finding]:
    wrong = []
    for directory in _PLUGINS:
        path = subject.root / directory / TYPE
        if path.is_file() and os.access(path, os.X_OK):
            yield Finding("ok", f"{path} is there")
            return
        if path.is_file():
            wrong.append(Finding("problem", f"{path} is not executable", f"chmod 755 {path}"))
        elif path.is_symlink():
            wrong.append(Finding("problem", f"{path} leads to nothing"))
    places = " or ".join(str(subject.root / directory) for directory in _PLUGINS)
    yield from wrong or [Finding("warning", f"no plugin {TYPE} in {places}")]


def _configuration(subject: Subject) -> Iterator[Finding]:
    directory = subject.root / _CONFIGURATIONS
    found = sorted(one for one in directory.glob("*") if one.suffix in _SUFFIXES)
    if not found:
        yield Finding("warning", f"no network configuration in {directory}")
        return
    ours = []
    for path in found:
        try:
            types = _types(path)
        except (OSError, ValueError) as error:
            yield Finding("problem", f"{path} cannot be read: {error}", f"mend {path}")
            continue
        ours += [path] if TYPE in types else []
    if not ours:
        yield Finding("warning", f"no configuration in {directory} names {TYPE}")
    elif ours[0] != found[0]:
        hint = f"give {ours[0].name} a name that sorts before {found[0].name}, or remove that one"
        yield Finding("problem", f"{found[0]} comes before {ours[0]}", hint)
    else:
        yield Finding("ok", f"{ours[0]} comes first")


def _types(path: Path) -> set[str]:
    """Of all plugins of a configuration. Raises ValueError if it is none."""
    config: Any = json.loads(path.read_text())
    if not isinstance(config, dict):
        raise ValueError("no object")
    plugins = config.get("plugins", [config])
    if not isinstance(plugins, list):
        raise ValueError("plugins is no list")
    return {str(one.get("type")) for one in plugins if isinstance(one, dict)}


def _firewall(subject: Subject) -> Iterator[Finding]:
    if _of(subject).spec.redirect == "never":
        yield Finding("ok", "redirect is never: pods' packets go by the host's stack")
        return
    found = list(obstacles())
    for one in found:
        what = f"{one.what}: what pods send and get is redirected past it"
        hint = f"look: {one.look}; if it is meant for pods: redirect: never"
        yield Finding("warning", what, hint)
    if not found:
        yield Finding("ok", "no chain filters or translates what is forwarded")


def _policy(subject: Subject) -> Iterator[Finding]:
    redirect, rules = _of(subject).spec.redirect, policy.policy_rules()
    others = [one for one in rules if not one.is_default and one.protocol != policy.PROTOCOL]
    if redirect == "never" or not others:
        yield Finding("ok", "policy rules hold for pods" if others else "no policy rules of others")
        return
    for one in others:
        name = f"policy rule {one.priority} (IPv{one.version})"
        if way_beside([one]).why:
            does = "redirects go past it" if redirect == "always" else _BY_THE_STACK
            yield Finding("warning", f"{name} looks at marks: {does}")
        elif not one.looks_up:
            yield Finding("warning", f"{name} forbids or jumps: what comes to pods goes past it")
        else:
            yield Finding("ok", f"{name} holds for what leaves the node")


def _forwarding(subject: Subject) -> Iterator[Finding]:
    uplinks = _of(subject).spec.uplinks
    for one in uplinks:
        found = link.find(one.name)
        if found is None:
            yield Finding("problem", f"there is no uplink {one.name}", "ip link")
        elif is_unsettled([Uplink(found.name, found.ifindex, found.mtu)]):
            yield Finding("problem", f"uplink {one.name} does not forward IPv4 and IPv6")
        else:
            yield Finding("ok", f"uplink {one.name} forwards IPv4 and IPv6")
    if not uplinks:
        yield Finding("ok", "no uplinks: pods reach this node alone")


def _leases(subject: Subject) -> Iterator[Finding]:
    """The agent has no say in when a pod ends."""
    gone = [(one, why) for one in subject.leases if (why := _why_gone(one))]
    for lease, why in gone[:_TOLD]:
        yield Finding("warning", f"{lease.pod or lease.attachment} has addresses, but {why}")
    if len(gone) > _TOLD:
        yield Finding("warning", f"{len(gone) - _TOLD} more leases are of pods that have gone")
    if not gone:
        yield Finding("ok", f"all leases ({len(subject.leases)}) are of pods that are there")


def _why_gone(lease: Lease) -> str:
    if not os.path.exists(lease.netns):
        return f"its network namespace {lease.netns} has gone"
    if lease.ready and link.find(lease.host_device) is None:
        return f"its device {lease.host_device} has gone"
    return ""


def _of(subject: Subject) -> Network:
    assert subject.network is not None
    return subject.network


CHECKS = (
    Check(
        "cni-plugin",
        "the plugin is where container runtimes look for it, and may be executed",
        "runtimes cannot ask for pods' networks: pods do not start",
        "ln -s /usr/local/lib/cni/sixlane /opt/cni/bin/ (Debian's containerd: /usr/lib/cni/); none "
        "is needed where the runtime looks elsewhere",
        _with_network(_plugin),
    ),
    Check(
        "cni-configuration",
        "a network configuration names the plugin, and no other one comes before it",
        "runtimes take the first one: pods do not start, or get another network",
        "cp /usr/local/lib/cni/10-sixlane.conflist /etc/cni/net.d/; none is needed where the "
        "runtime looks elsewhere",
        _with_network(_configuration),
    ),
    Check(
        "pod-firewall",
        "no chain of nftables, and no table of iptables-legacy, is passed by",
        "packets of pods are redirected from device to device and meet none of these rules",
        "if they are meant for pods: `redirect: never` in the Network",
        _with_network(_firewall),
    ),
    Check(
        "pod-policy",
        "policy rules hold for packets of pods",
        "rules by marks: what leaves the node goes by the host's stack, at its cost (`redirect: "
        "auto`), or is not as they say (`always`). Packets to pods of this node meet no rules",
        "ip rule; ip -6 rule; none is needed if they are meant so. All of them hold with "
        "`redirect: never`",
        _with_network(_policy),
    ),
    Check(
        "pod-uplinks",
        "the Network's uplinks are there, and forward",
        "pods reach nobody out of this node, or are not reached",
        "apply again, or restart the agent; and find who sets it: systemd-networkd, a sysctl file",
        _with_network(_forwarding),
    ),
    Check(
        "pod-leases",
        "what pods have is of pods that are there",
        "addresses that nobody else gets",
        "have the runtime delete the pod, or collect garbage (CNI's GC); after a start of the "
        "machine most do so themselves",
        _with_network(_leases),
    ),
)
