# SPDX-License-Identifier: Apache-2.0
"""What services and backends carry, as rows of tables."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click

from sixlane.cli import looks
from sixlane.cli.ends import frontend_label, label
from sixlane.cli.output import Bad, Good, Output, mark

Item = Mapping[str, Any]

_MOVING = ("packets", "bytes", "newFlows")


def state_cell(state: str) -> str:
    """What gets flows is well, and what fails its checks is not."""
    if state == "active":
        return Good(state)
    return Bad(state) if state == "quarantined" else state


def show_frontends(out: Output, frontends: Iterable[Item]) -> None:
    rows = [
        (
            frontend_label(one),
            one["packets"],
            one["bytes"],
            one["newFlows"],
            one["dropped"]["packets"],
        )
        for one in frontends
    ]
    out.table(("FRONTEND", "PACKETS", "BYTES", "NEW", "DROPPED"), rows)


def show_backends(out: Output, backends: Iterable[Item]) -> None:
    """As they are desired, and how each does."""
    backends = list(backends)
    checked = any(one["health"] for one in backends)
    columns = ["BACKEND", "WEIGHT", "STATE", "SHARE", "FLOWS", "NEW", "PACKETS", "BYTES"]
    columns += ["CHECK"] if checked else []
    columns += ["DESIRED", "DRAIN-UNTIL"] if out.wide else []
    out.table(columns, [_backend_row(one, checked, out.wide) for one in backends])


def _check_cell(health: Item | None) -> str:
    """The last result, and how long it took."""
    if health is None or not health["result"]:
        return "-"
    latency = health["latencySeconds"]
    took = "" if latency is None else f" in {latency * 1000:.1f} ms"
    return mark(f"{health['result']}{took}", bool(health["well"]))


def _backend_row(one: Item, checked: bool, wide: bool) -> list[object]:
    status = one["status"]
    cells: list[object] = [label(one), one["weight"]]
    if status is None:
        cells += [Bad("not in force"), *["-"] * 5]
    else:
        share = "-" if status["share"] is None else f"{status['share']:.1%}"
        cells += [state_cell(status["state"]), share, status["activeFlows"]]
        cells += [status["newFlows"], status["packets"], status["bytes"]]
    cells += [_check_cell(one["health"])] if checked else []
    return [*cells, one["state"], one.get("drainUntil", "-")] if wide else cells


def show_drops(out: Output, drops: Mapping[str, Item]) -> None:
    rows = [(Bad(reason), count["packets"], count["bytes"]) for reason, count in drops.items()]
    out.table(("DROPPED", "PACKETS", "BYTES"), rows)


def rates(last: Item | None, now: Item, seconds: float) -> dict[str, Any]:
    """Of whatever counts packets, bytes and flows; `last`: None: it is new. With what was
    dropped, if that is counted."""
    old: Item = last or dict.fromkeys(_MOVING, 0)
    packets, size, flows = (looks.more(now[key], old[key]) / seconds for key in _MOVING)
    told: dict[str, Any] = {
        "packetsPerSecond": round(packets, 1),
        "bitsPerSecond": round(8 * size),
        "newFlowsPerSecond": round(flows, 1),
        "activeFlows": now["activeFlows"],
    }
    if "dropped" in now:
        before = old["dropped"]["packets"] if "dropped" in old else 0
        drops = looks.more(now["dropped"]["packets"], before)
        told["dropsPerSecond"] = round(drops / seconds, 1)
    return told


RATE_COLUMNS = ("PKT/S", "MBIT/S", "NEW/S", "FLOWS")


def rate_cells(rate: Item) -> list[object]:
    return [
        round(rate["packetsPerSecond"]),
        f"{rate['bitsPerSecond'] / 1e6:.2f}",
        round(rate["newFlowsPerSecond"]),
        rate["activeFlows"],
    ]


ORDERS: dict[str, Callable[[Item], float]] = {
    "packets": lambda rate: rate["packetsPerSecond"],
    "bits": lambda rate: rate["bitsPerSecond"],
    "new": lambda rate: rate["newFlowsPerSecond"],
    "flows": lambda rate: rate["activeFlows"],
}

in_which_order = click.option(
    "--sort",
    type=click.Choice(list(ORDERS)),
    default="packets",
    show_default=True,
    help="What stands first: the most of these.",
)
"""What `--sort` may name."""


def in_order(rows: Iterable[dict[str, Any]], order: str) -> Sequence[dict[str, Any]]:
    """The most first."""
    return sorted(rows, key=ORDERS[order], reverse=True)
