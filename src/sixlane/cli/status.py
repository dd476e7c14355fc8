# SPDX-License-Identifier: Apache-2.0
"""`sixlane status`."""

import time
from typing import TYPE_CHECKING, Any

import click

from sixlane.cli import options
from sixlane.cli.command import Command
from sixlane.cli.output import Bad, Output, mark
from sixlane.cli.session import Session, pass_session
from sixlane.cli.views import listed

if TYPE_CHECKING:
    from sixlane.client import Client

_LOOK_EVERY_S = 0.25


@click.command(
    cls=Command,
    examples=[("sixlane status --wait --timeout 30", "return when all is well, or fail")],
)
@options.wait
@options.timeout
@options.with_output
@pass_session
def status(session: Session, wait: bool, timeout: float, out: Output) -> None:
    """Show what is in force, and what is out of order.

    With --wait also an agent that is still starting is waited for.
    """
    if wait:
        _wait(session.client, timeout)
    answer = session.client.status()
    if not out.data(answer):
        _show(out, answer)


def _wait(client: "Client", timeout_s: float) -> None:
    """Raises `Unreachable` if there is no agent in the end either."""
    from sixlane.cli.applied import wait_until_none
    from sixlane.client import Unreachable

    deadline = time.monotonic() + timeout_s

    def lacking() -> list[str]:
        try:
            answer = client.status()
        except Unreachable as unreachable:
            if time.monotonic() >= deadline:
                raise
            return [unreachable.message]
        late = [one for one in answer["resources"] if not one["ready"]]
        return [*answer["problems"], *(f"{one['kind']} {one['name']}" for one in late)]

    wait_until_none(lacking, timeout_s)


def _show(out: Output, status: dict[str, Any]) -> None:
    late = [f"{one['kind']} {one['name']}" for one in status["resources"] if not one["ready"]]
    out.lines(
        f"sixlaned {status['version']}, pid {status['pid']}, up {_span(status['uptimeSeconds'])}, "
        f"revision {status['revision']}"
    )
    for one in late:
        click.secho(f"not ready: {one} (sixlane describe {one.lower()})", fg="red")
    if not status["resources"]:
        out.lines("no resources: sixlane apply -f FILE")
    else:
        out.lines("")
        gateway = status["gateway"] or {}
        _show_devices(out, gateway)
        _show_prefixes(out, gateway)
        if gateway.get("pool4"):
            _show_pools(out, gateway["pool4"])
        _show_native(out, gateway)
        _show_resolvers(out, status["dns64"])
        _show_balanced(out, status.get("balanced"))
        _show_network(out, status.get("network"))
        out.lines("")
    for problem in status["problems"]:
        click.secho(f"problem: {problem}", fg="red")
    if not status["problems"]:
        out.lines("no problems")


def _show_devices(out: Output, gateway: dict[str, Any]) -> None:
    columns = ("DEVICE", "ATTACH", "ATTACHED", "STATE", "MTU")
    rows = [
        (
            device["name"],
            device["attach"],
            Bad("no") if device["attached"] == "no" else device["attached"],
            mark(_state(device), device["up"]),
            device["mtu"] or "-",
        )
        for device in gateway.get("devices", ())
    ]
    out.table(columns, rows)


def _state(device: dict[str, Any]) -> str:
    if not device["mtu"]:
        return "absent"
    return "up" if device["up"] else "down"


def _show_prefixes(out: Output, gateway: dict[str, Any]) -> None:
    columns = ("PREFIX", "POOL6", "IPV4", "SOURCE-RANGES", "EAM")
    rows = [
        (
            prefix["name"],
            prefix["prefix"],
            listed(prefix["ipv4"], out.wide),
            "all" if prefix["sourceRanges"] is None else prefix["sourceRanges"],
            prefix["eam"],
        )
        for prefix in gateway.get("prefixes", ())
    ]
    out.table(columns, rows)


def _show_pools(out: Output, pools: list[dict[str, Any]]) -> None:
    columns = ("POOL4", "IPV4", "CLIENTS", "ANNOUNCE", "PORTS", "BLOCKS")
    rows = [
        (
            pool["name"],
            listed(pool["ipv4"], out.wide),
            listed(pool["clients"], out.wide),
            pool["announce"],
            _used(pool["ports"]),
            _used(pool["blocks"]),
        )
        for pool in pools
    ]
    out.table(columns, rows)


def _used(part: dict[str, int]) -> str:
    return f"{part['used']}/{part['total']}"


def _show_native(out: Output, gateway: dict[str, Any]) -> None:
    """Routes by which packets pass that a prefix would translate."""
    routes = gateway.get("nativeRoutes") or {"count": 0, "first": ()}
    if routes["count"]:
        shown = routes["first"] if out.wide else routes["first"][:3]
        more = routes["count"] - len(shown)
        out.lines(f"native routes: {', '.join(shown)}" + (f" and {more} more" if more else ""))


def _show_balanced(out: Output, balanced: dict[str, Any] | None) -> None:
    """Of services, which may be thousands."""
    if balanced is None:
        return
    states = {state: number for state, number in balanced["backends"].items() if number}
    told = ", ".join(f"{number} {state}" for state, number in states.items()) or "none"
    out.lines(f"services in force: {balanced['services']}, backends: {told}")


def _show_network(out: Output, network: dict[str, Any] | None) -> None:
    if network is None:
        return
    uplinks = listed(network["uplinks"], out.wide)
    row = [network["name"], network["device"], network["mtu"], uplinks, network["pods"]]
    out.table(("NETWORK", "DEVICE", "MTU", "UPLINKS", "PODS"), [row])


def _show_resolvers(out: Output, resolvers: list[dict[str, Any]]) -> None:
    columns = ["DNS64", "STATE", "LISTEN", "PID", "RESTARTS"]
    rows = []
    for one in resolvers:
        places = [f"{place['address']}#{place['port']}" for place in one["listen"]]
        state = mark(one["state"], one["state"] == "running")
        row = [one["name"], state, listed(places, out.wide), one["pid"] or "-", one["restarts"]]
        if out.wide:
            row += [one["user"] or "-", one["note"] or "-"]
        rows.append(row)
    out.table([*columns, "USER", "NOTE"] if out.wide else columns, rows)


def _span(seconds: int) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
