# SPDX-License-Identifier: Apache-2.0
"""The demo's second act, from nothing to balancing: hosts, servers, decapsulators, two gateways."""

import shlex
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import yaml

from sixlane.errors import SixlaneError
from sixlane.lab import gateway, offloads, pages, programs, raising
from sixlane.lab.balanced import (
    BACKENDS,
    BALANCED,
    CLUSTERS,
    GATEWAYS,
    WEB4,
    WEB6,
    address4,
    address6,
)
from sixlane.lab.gateway import Counts
from sixlane.lab.place import Place
from sixlane.lab.session import Narrator, Silent
from sixlane.net import netns

FILE = Path(__file__).with_name("balance.yaml")
SERVERS = (*BACKENDS, *CLUSTERS)
_FIRST, *_ = GATEWAYS


def raise_all(place: Place, attach: str = "auto", narrator: Narrator | None = None) -> None:
    """Everything up, served and balanced. What an earlier run left behind is removed first."""
    told = narrator or Silent()
    take_down(place)
    raising.raise_hosts(place, BALANCED)
    if attach.startswith("xdp"):
        offloads.suit_xdp(place, BALANCED, GATEWAYS)
    with ThreadPoolExecutor(len(SERVERS)) as pool:
        list(pool.map(lambda host: serve(place, host), SERVERS))
    for host in BACKENDS:
        _decapsulate(place, host, told)
    with ThreadPoolExecutor(len(GATEWAYS)) as pool:
        list(pool.map(lambda name: _start(place, name, attach, told), GATEWAYS))


def take_down(place: Place) -> None:
    """Remove whatever there is of it; fine if there is nothing."""
    raising.take_down_hosts(place, BALANCED)
    for name in GATEWAYS:
        gateway.take_down(place.at(name))
    for host in BACKENDS:
        shutil.rmtree(place.pins(host), ignore_errors=True)


def serve(place: Place, host: str) -> int:
    """Its page, which has its name; the server's process id."""
    argv = [*programs.python(pages.__file__), "::", host]
    return programs.start(
        programs.on_host(place, host, argv), log=place.log(f"{host}-pages"), ready=pages.READY
    )


def service(name: str) -> dict[str, Any]:
    """As balance.yaml has it."""
    for document in yaml.safe_load_all(FILE.read_text()):
        if (document["kind"], document["metadata"]["name"]) == ("Service", name):
            found: dict[str, Any] = document
            return found
    raise KeyError(name)


def read_counts(place: Place) -> Counts:
    """Of both gateways together."""
    return reduce(add, (gateway.read_counts(place.at(name)) for name in GATEWAYS))


@contextmanager
def changed_backend(place: Place, narrator: Narrator, host: str, **of: Any) -> Iterator[None]:
    """One of web's backends with other values, for the block."""
    backends = [
        {**one, **(of if one["address"] == backend_of(host) else {})}
        for one in service("web")["spec"]["backends"]
    ]
    with changed_web(place, narrator, backends=backends):
        yield


@contextmanager
def changed_web(place: Place, narrator: Narrator, **spec: Any) -> Iterator[None]:
    """web with more of a spec, on both gateways, for the block; then as before."""
    before = service("web")
    _apply_both(place, narrator, {**before, "spec": {**before["spec"], **spec}})
    try:
        yield
    finally:
        _apply_both(place, Silent(), before)


@contextmanager
def drained(place: Place, narrator: Narrator, host: str) -> Iterator[None]:
    """One of web's backends without new flows, for the block."""
    _do_both(place, narrator, "backend", "drain", "web", backend_of(host))
    try:
        yield
    finally:
        _do_both(place, Silent(), "backend", "undrain", "web", backend_of(host))


def backend_of(host: str) -> str:
    """The address that a backend of web has in balance.yaml."""
    own = {address4(host), address6(host)}
    (found,) = (
        one["address"] for one in service("web")["spec"]["backends"] if one["address"] in own
    )
    return str(found)


def flows_of(place: Place, narrator: Narrator, host: str) -> int:
    """That go on with a backend of web, as both gateways have it."""
    flows = 0
    for name in GATEWAYS:
        gateway.show(place.at(name), narrator, "backend", "list", "web")
        listed = gateway.read(place.at(name), "backend", "list", "web")
        flows += sum(
            one["status"]["activeFlows"]
            for one in listed["items"]
            if one["address"] == backend_of(host)
        )
    return flows


def backends_up(place: Place) -> list[str]:
    """What each gateway says of those of web."""
    told = []
    for name in GATEWAYS:
        view = gateway.read(place.at(name), "get", "service", "web")
        told += [
            condition["message"]
            for condition in view["status"]["conditions"]
            if condition["type"] == "BackendsReady"
        ]
    return told


def _start(place: Place, name: str, attach: str, narrator: Narrator) -> None:
    shown = narrator if name == _FIRST else Silent()
    gateway.start(place.at(name), shown)
    gateway.apply_file(place.at(name), FILE, attach, shown)


def _apply_both(place: Place, narrator: Narrator, resource: dict[str, Any]) -> None:
    path = place.run_dir / "web.yaml"
    path.write_text(yaml.safe_dump(resource))
    _do_both(place, narrator, "apply", "-f", str(path))


def _do_both(place: Place, narrator: Narrator, *arguments: str) -> None:
    for name in GATEWAYS:
        quiet = narrator if name == _FIRST else Silent()
        ran = gateway.show(place.at(name), quiet, *arguments)
        if ran.status:
            raise SixlaneError(f"{ran.command}: exit status {ran.status}: {ran.text}")


def _decapsulate(place: Place, host: str, narrator: Narrator) -> None:
    vips = [f"--vip={vip}" for vip in (WEB4, WEB6)]
    argv = ["decap", "up", "--device", "eth0", *vips, "--bpffs", str(place.pins(host))]
    namespace = place.namespace(host)
    if host == next(iter(BACKENDS)):
        command = ["nsenter", f"--net={netns.DIRECTORY / namespace}", "sixlane", *argv]
        narrator.command(shlex.join(command))
    with netns.inside(namespace):
        ran = programs.run_here([gateway.program("sixlane"), *argv])
    if ran.status:
        raise SixlaneError(f"{ran.command}: exit status {ran.status}: {ran.text}")
