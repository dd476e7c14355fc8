# SPDX-License-Identifier: Apache-2.0
"""Options that say which sessions, bindings and clients are looked for."""

from typing import TYPE_CHECKING, Any

import click

from sixlane.cli.options import several

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

STATES = (
    "OPEN",
    "V4 INIT",
    "V6 INIT",
    "ESTABLISHED",
    "V4 FIN RCV",
    "V6 FIN RCV",
    "V4 FIN + V6 FIN RCV",
    "TRANS",
)  # as sixlane.datapath.sessions has them, which takes too long to import


def _word(state: str) -> str:
    """What needs no quotes: v4-fin-v6-fin-rcv."""
    return "-".join(state.lower().replace("+", " ").replace("_", " ").replace("-", " ").split())


_BY_WORD = {_word(state): state for state in STATES}

if TYPE_CHECKING:
    _ParamType = click.ParamType[str]
else:  # click before 8.4 has no types here
    _ParamType = click.ParamType


class _StateType(_ParamType):
    """A state of RFC 6146 in any case, with spaces, hyphens or underscores."""

    name = "state"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        state = _BY_WORD.get(_word(str(value)))
        if state is None:
            self.fail(f"unknown state {value}, known: {', '.join(_BY_WORD)}", param, ctx)
        return state

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem]":
        from click.shell_completion import CompletionItem

        return [CompletionItem(one) for one in _BY_WORD if one.startswith(_word(incomplete))]


_protocol = click.option(
    "--protocol", type=click.Choice(["tcp", "udp", "icmp"]), help="Only this one."
)
_inside = click.option(
    "--inside", metavar="PREFIX", help="IPv6 prefix that inside addresses are in, or an address."
)
_pool = click.option("--pool", metavar="ADDRESS", help="Address of pool4.")
_remote = click.option(
    "--remote", metavar="PREFIX", help="IPv4 prefix that remote addresses are in, or an address."
)
_port = click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help="Port of any end; of ICMP queries, the identifier.",
)
_state = click.option(
    "--state",
    type=_StateType(),
    metavar="STATE",
    help=f"As RFC 6146 names it: {', '.join(_BY_WORD)}.",
)

limit = click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="At most N; all if left out."
)

session_filters = several(_protocol, _inside, _pool, _remote, _port, _state)
binding_filters = several(_protocol, _inside, _pool, _port)
client_filters = several(_inside, _pool)
