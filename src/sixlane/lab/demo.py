# SPDX-License-Identifier: Apache-2.0
"""The demo: every step with its commands and what they print, and a table of them all."""

import contextlib
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sixlane.errors import SixlaneError
from sixlane.lab import balance, cluster, gateway, lab
from sixlane.lab.balanced import BALANCED, GATEWAYS
from sixlane.lab.cluster import CLUSTER, NODE
from sixlane.lab.gateway import Counts
from sixlane.lab.place import GATEWAY, Place
from sixlane.lab.session import Narrator, Seen, Session, StepFailedError
from sixlane.lab.steps import BALANCED_STEPS, POD_STEPS, STEPS, Step
from sixlane.lab.topology import LAB, Topology

_LINES_SHOWN = 14
_WIDTH_WHEN_PIPED = 160


@dataclass
class Printer:
    """Shows commands and their output as they come."""

    console: Console
    started: float = field(default_factory=time.monotonic)

    def heading(self, text: str) -> None:
        self.console.print()
        seconds = time.monotonic() - self.started
        self.line(f"{text}  ", "bold", Text(f"[{seconds:.1f} s]", style="dim"))

    def command(self, text: str) -> None:
        self.line(f"  # {text}", "cyan")

    def output(self, text: str) -> None:
        lines = text.splitlines()
        for line in lines[:_LINES_SHOWN]:
            self.line(f"    {line}", "dim")
        if len(lines) > _LINES_SHOWN:
            self.line(f"    ... {len(lines) - _LINES_SHOWN} more lines", "dim")

    def good(self, text: str) -> None:
        self.line(f"  => {text}", "green")

    def bad(self, text: str) -> None:
        self.line(f"  => {text}", "bold red")

    def line(self, text: str, style: str = "", *more: Text) -> None:
        self.console.print(Text(text, style=style), *more, soft_wrap=True, highlight=False)


@dataclass(frozen=True)
class Act:
    """Hosts, and steps that are taken there. `agents`: the gateways that have one."""

    topology: Topology
    agents: Sequence[str]
    raise_all: Callable[[Place, str, Narrator], None]
    counts: Callable[[Place], Counts]
    steps: Sequence[Step]


@dataclass(frozen=True)
class Row:
    """One line of the closing table."""

    step: Step
    seen: Seen
    counts: Counts


def run(place: Place, *, keep: bool, attach: str, pods_only: bool = False) -> bool:
    """Raise the lab, take every step, print the table; whether all held. `pods_only`: of the third
    act.

    The lab is removed afterwards, also when interrupted, unless `keep`.
    """
    printer = _printer()
    rows: list[Row] = []
    with _removed_unless_kept(place, printer, keep):
        if pods_only:
            lab.need_programs()
            lab.take_down(place)
        for act in _acts()[-1:] if pods_only else _acts():
            _raise(place, attach, printer, act)
            if not _take_all(place, printer, act, rows):
                return False
        printer.heading("All steps held")
        printer.console.print(_table(rows))
        return True


def up(place: Place, *, attach: str) -> None:
    """Raise the lab and leave it up; if that fails, remove it."""
    printer = _printer()
    with _removed_unless_kept(place, printer, keep=True):
        for act in _acts():
            _raise(place, attach, printer, act)


def down(place: Place) -> None:
    """Remove the lab and what a killed run left of it."""
    with lab.held(place), _uninterruptible():
        lab.take_down(place)


def _printer() -> Printer:
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH_WHEN_PIPED)
    return Printer(console)


@contextlib.contextmanager
def _removed_unless_kept(place: Place, printer: Printer, keep: bool) -> Iterator[None]:
    """Hold the lab for the block, and remove it afterwards: to keep it, the block has to end."""
    with lab.held(place), _interruptible():
        kept = False
        try:
            yield
            kept = keep
        finally:
            if kept:
                _show_ways_in(place, printer)
            else:
                with _uninterruptible(), contextlib.ExitStack() as stack:
                    stack.callback(lab.take_down, place)  # whoever was to read may have gone
                    printer.heading("Removing the lab")


def _show_ways_in(place: Place, printer: Printer) -> None:
    printer.heading("The lab stays up")
    for act in _acts():
        for host in act.topology.hosts:
            command = f"ip netns exec {place.namespace(host.name)} bash"
            printer.line(f"  {command:36} # {host.what}")
        for name in act.agents:
            printer.line(f"  {shlex.join(gateway.command(place.at(name), 'status'))}")
    printer.line(f"  {sys.executable} -m sixlane.lab down --prefix {place.prefix}")


def _acts() -> tuple[Act, ...]:
    return (
        Act(LAB, (GATEWAY,), lab.raise_lab, gateway.read_counts, STEPS),
        Act(BALANCED, GATEWAYS, balance.raise_all, balance.read_counts, BALANCED_STEPS),
        Act(CLUSTER, (NODE,), cluster.raise_all, cluster.read_counts, POD_STEPS),
    )


def _raise(place: Place, attach: str, printer: Printer, act: Act) -> None:
    count = len(act.topology.hosts)
    printer.heading(f"Raising {count} hosts in network namespaces {place.prefix}*")
    act.raise_all(place, attach, printer)


def _take_all(place: Place, printer: Printer, act: Act, rows: list[Row]) -> bool:
    """Every step in turn, until one does not hold; whether all did."""
    for step in act.steps:
        printer.heading(f"{len(rows) + 1}. {step.title}")
        try:
            row = _take(place, step, printer, act)
        except SixlaneError as error:
            _show_failure(place, step, error, printer, act)
            return False
        printer.good(row.seen.text)
        rows.append(row)
    return True


def _take(place: Place, step: Step, printer: Printer, act: Act) -> Row:
    before = act.counts(place)
    seen = step.take(Session(place, printer))
    return Row(step, seen, act.counts(place) - before)


def _show_failure(
    place: Place, step: Step, error: SixlaneError, printer: Printer, act: Act
) -> None:
    printer.bad(f"{step.title}: {error}")
    if isinstance(error, StepFailedError) and error.ran is not None:
        printer.command(error.ran.command)
        printer.console.print(Text(error.ran.text), soft_wrap=True)
    for name in act.agents:
        with contextlib.suppress(SixlaneError):
            gateway.show_counters(place.at(name), printer)


def _table(rows: list[Row]) -> Table:
    table = Table(title="What the gateways did")
    table.add_column("step", no_wrap=True)
    table.add_column("seen", overflow="fold")
    for name in ("round trip", "throughput", "packets 46 / 64", "balanced"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("drops by reason")
    for number, row in enumerate(rows, 1):
        table.add_row(
            f"{number}. {row.step.title}",
            row.seen.text,
            _round_trip(row.seen),
            _throughput(row.seen),
            f"{row.counts.forwarded_46:,} / {row.counts.forwarded_64:,}",
            f"{row.counts.balanced:,}",
            "\n".join(f"{count} {reason}" for reason, count in row.counts.drops.items()),
        )
    return table


def _round_trip(seen: Seen) -> str:
    return "" if seen.round_trip_ms is None else f"{seen.round_trip_ms:.2f} ms"


def _throughput(seen: Seen) -> str:
    return "\n".join(f"{bits / 1e9:.2f} Gbit/s" for bits in seen.bits_per_second)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP end the demo as Ctrl-C does: with a clean machine."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _uninterruptible() -> Iterator[None]:
    signals = {signal.SIGINT, *_ENDING}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_ENDING = (signal.SIGTERM, signal.SIGHUP)
