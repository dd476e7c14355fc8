# SPDX-License-Identifier: Apache-2.0
"""The demo's third act: a node whose pods come by the CNI plugin, as a container runtime has them.

    web  job      containers: namespaces without a network, until the plugin is asked
      |  |
      node up0 ===== eth0 site      both families; a page for IPv4 alone

The node has the agent, and translates for its pods.
"""

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import sixlane
from sixlane.errors import SixlaneError
from sixlane.lab import gateway, pages, programs, raising
from sixlane.lab.gateway import Counts
from sixlane.lab.place import Place
from sixlane.lab.session import Narrator, Silent
from sixlane.lab.topology import End, Family, Host, Link, Route, Topology
from sixlane.net import netns

FILE = Path(__file__).with_name("pods.yaml")
NODE, SITE = "node", "site"
PODS = ("web", "job")
SITE4, SITE6 = "192.31.196.53", "2001:db8:f::53"
_NODE4, _NODE6 = "192.31.196.1", "2001:db8:f::1"
_PODS4, _PODS6 = "192.175.48.128/25", "2001:db8:64:9::/64"  # as in pods.yaml
_PLUGIN = Path(sixlane.__file__).parent / "cni" / "plugin.py"

CLUSTER = Topology(
    hosts=(
        Host(NODE, "a node with pods: sixlane", Family.BOTH),
        Host(
            SITE,
            "a server outside",
            Family.BOTH,
            routes=(Route(_PODS4, _NODE4), Route(_PODS6, _NODE6)),
        ),
        *(Host(name, "a pod", Family.IPV6) for name in PODS),
    ),
    links=(
        Link(
            End(NODE, "up0", (f"{_NODE4}/24", f"{_NODE6}/64")),
            End(SITE, "eth0", (f"{SITE4}/24", f"{SITE6}/64")),
        ),
    ),
)


def raise_all(place: Place, attach: str = "auto", narrator: Narrator | None = None) -> None:
    """Everything up and serving, no pod on the network yet. What an earlier run left behind is
    removed first. The uplink is attached by tc, however others are: pods are."""
    told = narrator or Silent()
    take_down(place)
    raising.raise_hosts(place, CLUSTER)
    _serve(place, SITE, "0.0.0.0", pages.GREETING4)
    _serve(place, "web", "::", pages.GREETING6)
    gateway.start(place.at(NODE), told)
    gateway.apply_file(place.at(NODE), FILE, "auto", told)


def take_down(place: Place) -> None:
    """Remove whatever there is of it; fine if there is nothing."""
    raising.take_down_hosts(place, CLUSTER)
    node = place.at(NODE)
    gateway.take_down(node)
    shutil.rmtree(node.bpffs.with_name(f"{node.bpffs.name}-pods"), ignore_errors=True)


def attach(place: Place, narrator: Narrator, name: str) -> None:
    """Has a container be a pod, as its runtime would."""
    told = {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": name,
        "CNI_NETNS": str(netns.DIRECTORY / place.namespace(name)),
        "CNI_IFNAME": "eth0",
        "CNI_PATH": os.defpath,
        "CNI_ARGS": f"K8S_POD_NAMESPACE=lab;K8S_POD_NAME={name}",
    }
    socket = place.at(NODE).socket
    configuration = f'{{"cniVersion":"1.1.0","name":"pods","type":"sixlane","socket":"{socket}"}}'
    words = [f"{key}={shlex.quote(value)}" for key, value in told.items()]
    plugin = shlex.join([sys.executable, "-IS", str(_PLUGIN)])
    command = f"echo {shlex.quote(configuration)} | {' '.join(words)} {plugin}"
    narrator.command(command)
    ran = programs.run_here(["sh", "-c", command])
    narrator.output(ran.text)
    if ran.status:
        raise SixlaneError(f"{ran.command}: exit status {ran.status}: {ran.text}")


def pods(place: Place) -> dict[str, dict[str, Any]]:
    """What `sixlane pod list` tells, by name."""
    return {one["name"]: one for one in gateway.read(place.at(NODE), "pod", "list")["items"]}


def redirected(place: Place, how: str) -> int:
    """Packets of pods that went past the node's stack, in one of the ways `local`, `out`, `in`."""
    counters = gateway.read_status(place.at(NODE))["network"]["counters"]
    return int(counters[how]["packets"])


def read_counts(place: Place) -> Counts:
    """Of the node's translator."""
    return gateway.read_counts(place.at(NODE))


def _serve(place: Place, host: str, address: str, greeting: str) -> None:
    argv = programs.on_host(place, host, [*programs.python(pages.__file__), address, greeting])
    programs.start(argv, log=place.log(f"{host}-pages"), ready=pages.READY)
