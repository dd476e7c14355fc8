# SPDX-License-Identifier: Apache-2.0
"""What of the host's firewall is passed by whatever is redirected from device to device."""

from collections.abc import Iterator
from dataclasses import dataclass

from sixlane.net import netfilter
from sixlane.net.netfilter import Chain

_LEGACY_CHAINS = {"filter": "FORWARD", "raw": "PREROUTING"}


@dataclass(frozen=True)
class Obstacle:
    """`where`: its name, which stays whatever rules come and go. `look`: the command that shows it.
    `chain`: None: it is a table of iptables-legacy."""

    where: str
    what: str
    look: str
    chain: Chain | None = None


def obstacles() -> Iterator[Obstacle]:
    for chain in netfilter.chains():
        if chain.kind in _VERBS and (chain.rules or chain.drops):
            yield _of_chain(chain)
    for table in netfilter.legacy_tables():
        family, name = table.split()
        if name in _LEGACY_CHAINS:
            program = "ip6tables-legacy" if family == "ip6" else "iptables-legacy"
            yield Obstacle(
                f"{program} table {name}",
                f"{program} has a {name} table; whether it has rules, it does not tell",
                f"{program} -t {name} -S {_LEGACY_CHAINS[name]}",
            )


_VERBS = {"filter": "filters", "nat": "translates"}


def _of_chain(chain: Chain) -> Obstacle:
    drops = ", policy drop" if chain.drops else ""
    where = f"chain {chain.family} {chain.table} {chain.name}"
    which = "forwarded packets" if chain.hook == "forward" else f"packets at {chain.hook}"
    what = f"{where} {_VERBS[chain.kind]} {which} (rules: {chain.rules}{drops})"
    return Obstacle(where, what, f"nft list {where}", chain)
