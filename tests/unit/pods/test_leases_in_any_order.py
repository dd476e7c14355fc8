# SPDX-License-Identifier: Apache-2.0
"""Adds, removes, other pools and restarts in any order: no address twice, none lost, none again
before those that were unused longer."""

import itertools
import tempfile
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sixlane.errors import ConfigError
from sixlane.model import Network
from sixlane.pods import Attachment, Lease, ipam
from sixlane.pods.ipam import Givable, NothingFree, address_of
from sixlane.pods.leases import Leases
from sixlane.rfc import rfc6052
from tests.unit.pods.networks import USUAL, asked, network

Address = IPv4Address | IPv6Address

EGRESS = {"ipv4": ["192.175.48.0/31", "192.175.48.8/30"]}
OTHER = {"name": "other", "ranges": ["2001:db8:77::/64", "10.77.0.0/29"]}
NETWORKS = [
    network("2001:db8:64:1::/120", "10.64.1.0/28", statelessEgress=EGRESS),
    network("2001:db8:64:1::/120", "10.64.1.0/29", "10.64.2.0/30", pools=[OTHER]),
    network("2001:db8:64:1::/64", statelessEgress=EGRESS, pools=[OTHER]),
    network("2001:db8:64:2::/120", "10.64.1.8/29", statelessEgress={"ipv4": ["192.175.48.0/30"]}),
]
names = st.integers(0, 9)
pools = st.sampled_from([None, None, None, "default", "other"])
some_fixed = st.sets(
    st.sampled_from(["10.64.1.3", "10.64.1.4", "10.64.1.1", "10.77.0.6", "2001:db8:64:1::7"]),
    max_size=2,
)


def every(ranges: Iterable[Givable]) -> set[Address]:
    return {
        address_of(number)
        for one in ranges
        for first, last in one.spans
        for number in itertools.islice(range(first, last + 1), 400)
    }


class AnyOrder(RuleBasedStateMachine):
    """`had`: what each attachment has; `rests`: since which turn nobody has an address."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "leases.db"
        self.leases = self.open()
        self.network: Network = NETWORKS[0]
        self.had: dict[Attachment, Lease] = {}
        self.rests: dict[Address, int] = {}
        self.turn = 0

    def teardown(self) -> None:
        self.leases.close()
        self.directory.cleanup()

    @rule(which=st.sampled_from(NETWORKS))
    def another_network(self, which: Network) -> None:
        self.network = which

    @rule()
    def restart(self) -> None:
        self.leases.close()
        self.leases = self.open()

    @rule(name=names, pool=pools)
    def add(self, name: int, pool: str | None) -> None:
        wanted = asked(name, pool=pool)
        there = self.had.get(wanted.attachment)
        chosen = self.network.spec.pool(pool) if pool else self.network.spec.pools[0]
        try:
            lease = self.leases.add(wanted, self.network, USUAL)
        except NothingFree:
            assert there is None and chosen is not None
            assert any(not (whole - self.taken()) for whole in self.choices(chosen))
        except ConfigError:
            assert there.pool != pool if there else chosen is None
        else:
            if there:
                assert lease == there
                return
            assert chosen is not None
            for whole, address in zip(self.choices(chosen), ipv4_behind(lease), strict=True):
                free = whole - self.taken()
                assert address in free
                longest = min(self.rests.get(one, -1) for one in free)
                assert self.rests.get(address, -1) == longest
            self.remember(lease)

    @rule(name=names, fixed=some_fixed, pool=pools)
    def add_fixed(self, name: int, fixed: set[str], pool: str | None) -> None:
        wanted = asked(name, *fixed, pool=pool)
        there = self.had.get(wanted.attachment)
        chosen = self.network.spec.pool(pool) if pool else self.network.spec.pools[0]
        addresses = set(map(ip_address, fixed))
        try:
            lease = self.leases.add(wanted, self.network, USUAL)
        except ConfigError:
            if there:
                assert not addresses <= set(there.addresses) or pool not in (None, there.pool)
                return
            if chosen is not None:
                possible = every(map(ipam.of_pool, chosen.ranges)) - self.taken()
                families = {address.version for address in addresses}
                assert (
                    len(families) < len(addresses)
                    or not addresses <= possible
                    or any(not (whole - self.taken()) for whole in self.choices(chosen))
                )
        else:
            assert addresses <= set(lease.addresses)
            if there:
                assert lease == there
                return
            assert not set(ipv4_behind(lease)) & self.taken()
            self.remember(lease)

    @rule(name=names)
    def remove(self, name: int) -> None:
        attachment = asked(name).attachment
        assert self.leases.remove(attachment) == self.had.get(attachment)
        self.forget(attachment)

    @precondition(lambda self: self.had)
    @rule(data=st.data())
    def collect_garbage(self, data: Any) -> None:
        valid = data.draw(st.sets(st.sampled_from(sorted(self.had))))
        stale = self.leases.stale(valid, "")
        assert [lease.attachment for lease in stale] == sorted(set(self.had) - valid)
        for lease in stale:
            self.leases.remove(lease.attachment)
            self.forget(lease.attachment)

    @precondition(lambda self: self.had)
    @rule(data=st.data())
    def make_ready(self, data: Any) -> None:
        attachment = data.draw(st.sampled_from(sorted(self.had)))
        self.leases.ready(attachment)
        there = self.leases.of(attachment)
        assert there is not None and there.ready
        self.had[attachment] = there

    def open(self) -> Leases:
        """Without waits for the disk, which are no matter here."""
        leases = Leases(self.path)
        leases._database._db.execute("PRAGMA synchronous = OFF")
        return leases

    @invariant()
    def all_is_kept(self) -> None:
        assert self.leases.all() == [self.had[key] for key in sorted(self.had)]

    @invariant()
    def no_address_twice(self) -> None:
        given = [
            address
            for lease in self.had.values()
            for address in (*lease.addresses, *([lease.egress] if lease.egress else []))
        ]
        assert len(set(given)) == len(given)

    def choices(self, pool: Any) -> list[set[Address]]:
        """For each address that a pod gets, what it may be: IPv6, IPv4, and that behind egress."""
        families = [pool.of_family(version) for version in (6, 4) if pool.of_family(version)]
        choices = [every(map(ipam.of_pool, family)) for family in families]
        egress = self.network.spec.stateless_egress
        return [*choices, *([every(map(ipam.of_egress, egress.ipv4))] if egress else [])]

    def taken(self) -> set[Address]:
        return {address for lease in self.had.values() for address in ipv4_behind(lease)}

    def remember(self, lease: Lease) -> None:
        self.had[lease.attachment] = lease
        for address in ipv4_behind(lease):
            self.rests.pop(address, None)

    def forget(self, attachment: Attachment) -> None:
        self.turn += 1
        lease = self.had.pop(attachment, None)
        for address in ipv4_behind(lease) if lease else ():
            self.rests[address] = self.turn


def ipv4_behind(lease: Lease) -> list[Address]:
    """Its addresses, and the IPv4 address that its egress stands for."""
    egress = lease.egress
    return [*lease.addresses, *([rfc6052.extract(rfc6052.WELL_KNOWN, egress)] if egress else [])]


def test_any_order() -> None:
    run_state_machine_as_test(
        AnyOrder,
        settings=settings(max_examples=60, stateful_step_count=40, deadline=None, derandomize=True),
    )
