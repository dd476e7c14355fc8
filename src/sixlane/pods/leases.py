# SPDX-License-Identifier: Apache-2.0
"""What each attachment has, in a file: no address twice, and none lost, whoever ends when."""

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from ipaddress import IPv4Address
from pathlib import Path

from sixlane import database
from sixlane.errors import ConfigError, SixlaneError
from sixlane.model import Network, PodPool, StatelessEgress
from sixlane.model.addresses import AnyAddress
from sixlane.model.problem import likely, shown
from sixlane.pods import ipam, lease_tables
from sixlane.pods.ipam import Givable, NothingFree, address_of, number_of
from sixlane.pods.lease_tables import Held, TableBook
from sixlane.pods.pod import Asked, Attachment, DeviceKind, Lease, Usual
from sixlane.rfc import rfc6052

_STAYS = "pods keep what they have"
_MEND = "move it away, and start all pods of this node anew"


class Leases:
    """All leases of this node. What was told to a caller is on the disk.

    Each call is a transaction of its own: it is done, or changes nothing and raises `SixlaneError`.
    May be used by any thread. A file that cannot be written is read: `refusal` then says why.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = database.Database(path, self._prepare, _STAYS, _MEND)

    def close(self) -> None:
        self._database.close()

    @property
    def refusal(self) -> SixlaneError | None:
        return self._database.refusal

    def add(self, asked: Asked, network: Network, usual: Usual) -> Lease:
        """What the attachment gets; what it has already, if that is what is asked for.

        `ConfigError`: it cannot be had; `NothingFree`, which is one: not now.
        """
        there = self.of(asked.attachment)
        if there is None:
            with self._database.writing() as db:
                there = lease_tables.find(db, asked.attachment)
                if there is None:
                    return _made(db, asked, network, usual)
        _check_same(there, asked)
        return there

    def ready(self, attachment: Attachment) -> None:
        """Its device has been made. `ConfigError` if it has no lease."""
        with self._database.writing() as db:
            if not lease_tables.set_ready(db, attachment):
                raise ConfigError(f"{attachment} has no lease", "it was removed meanwhile")

    def remove(self, attachment: Attachment) -> Lease | None:
        """What it had, and its addresses rest; None: it had nothing."""
        if self.of(attachment) is None:
            return None
        with self._database.writing() as db:
            there = lease_tables.find(db, attachment)
            if there is not None:
                lease_tables.delete(db, attachment)
            return there

    def all(self) -> list[Lease]:
        """By their attachments."""
        with self._database.reading() as db:
            return lease_tables.every(db)

    def of(self, attachment: Attachment) -> Lease | None:
        with self._database.reading() as db:
            return lease_tables.find(db, attachment)

    def stale(self, valid: Collection[Attachment], configuration: str) -> list[Lease]:
        """Those of a network configuration whose attachments are not among `valid`."""
        known = frozenset(valid)
        return [
            lease
            for lease in self.all()
            if lease.configuration == configuration and lease.attachment not in known
        ]

    def _prepare(self, db: sqlite3.Connection) -> None:
        db.execute("PRAGMA foreign_keys = ON")
        version = lease_tables.version(db)
        if version not in (0, lease_tables.VERSION):
            raise database.of_another_version(self._path, version, _STAYS)
        if version == 0:
            with database.transaction(db):
                lease_tables.create(db)


def _made(db: sqlite3.Connection, asked: Asked, network: Network, usual: Usual) -> Lease:
    pool = _pool(asked, network)
    host_device = asked.attachment.host_device
    owner = lease_tables.owner_of_device(db, host_device)
    if owner:
        what = f"{owner} has the device name of {asked.attachment}, {host_device}"
        raise ConfigError(what, "start it anew: with another id it has another name")
    addresses = _addresses(db, asked.fixed, pool, network)
    held = [Held(number_of(one), own=True) for one in addresses]
    egress = None
    if network.spec.stateless_egress:
        ipv4 = _egress(db, network.spec.stateless_egress, network)
        egress = rfc6052.embed(network.spec.stateless_egress.prefix, ipv4)
        held.append(Held(number_of(ipv4), own=False))
    lease = Lease(
        attachment=asked.attachment,
        netns=asked.netns,
        pod=asked.pod,
        pool=pool.name,
        addresses=addresses,
        egress=egress,
        device=_device(asked, network, usual),
        host_device=host_device,
        mtu=asked.mtu or network.spec.mtu or usual.mtu,
        ready=False,
        configuration=asked.configuration,
    )
    lease_tables.insert(db, lease, held)
    return lease


def _pool(asked: Asked, network: Network) -> PodPool:
    if asked.pool is None:
        return network.spec.pools[0]
    pool = network.spec.pool(asked.pool)
    if pool is None:
        hint = likely(asked.pool, (one.name for one in network.spec.pools))
        raise ConfigError(f"{network.key} has no pool {shown(asked.pool)}", hint)
    return pool


def _device(asked: Asked, network: Network, usual: Usual) -> DeviceKind:
    choice = asked.device or network.spec.device
    return usual.device if choice == "auto" else choice


def _addresses(
    db: sqlite3.Connection, fixed: Iterable[AnyAddress], pool: PodPool, network: Network
) -> tuple[AnyAddress, ...]:
    """One of each family of the pool, IPv6 first."""
    wanted: dict[int, AnyAddress] = {}
    for address in fixed:
        if address.version in wanted:
            what = f"{wanted[address.version]} and {address} are asked for"
            raise ConfigError(what, f"one IPv{address.version} address at most")
        wanted[address.version] = address
        _check_fixed(db, address, pool, network)
    return tuple(
        wanted[version] if version in wanted else _any_of_pool(db, pool, version, network)
        for version in (6, 4)
        if pool.of_family(version)
    )


def _check_fixed(
    db: sqlite3.Connection, address: AnyAddress, pool: PodPool, network: Network
) -> None:
    """Whether a pod can have it, and nobody has."""
    why = _why_not(pool, address)
    if why:
        others = (one.name for one in network.spec.pools if _why_not(one, address) is None)
        other = next(others, None)
        ranges = ", ".join(map(str, pool.ranges))
        hint = f"pool {other} has it: ask for that one" if other else f"the pool has {ranges}"
        raise ConfigError(f"{address} {why} pool {pool.name} of {network.key}", hint)
    holder = lease_tables.holder(db, number_of(address))
    if holder:
        raise NothingFree(f"{address} is taken by {holder}", "another address, or remove that one")


def _why_not(pool: PodPool, address: AnyAddress) -> str | None:
    return ipam.why_not([ipam.of_pool(one) for one in pool.ranges], address)


def _any_of_pool(
    db: sqlite3.Connection, pool: PodPool, version: int, network: Network
) -> AnyAddress:
    found = _taken(db, [ipam.of_pool(one) for one in pool.of_family(version)])
    if found is None:
        what = f"pool {pool.name} of {network.key} has no free IPv{version} address"
        raise NothingFree(what, "end a pod of it, or give it another range")
    return found


def _egress(db: sqlite3.Connection, egress: StatelessEgress, network: Network) -> IPv4Address:
    found = _taken(db, [ipam.of_egress(one) for one in egress.ipv4])
    if found is None:
        what = f"statelessEgress of {network.key} has no free IPv4 address"
        raise NothingFree(what, "end a pod, or give it another range")
    assert isinstance(found, IPv4Address)
    return found


def _taken(db: sqlite3.Connection, ranges: Sequence[Givable]) -> AnyAddress | None:
    """One that is free, and is not in the tables yet."""
    book = TableBook(db)
    found = ipam.pick(ranges, book)
    if found is None:
        return None
    number, unknown_in = found
    if unknown_in is not None:
        book.begin_behind(unknown_in, number)
    return address_of(number)


def _check_same(there: Lease, asked: Asked) -> None:
    """An ADD that comes twice asks for the same, or for whatever there is."""
    for what, has, wants in (
        ("netns", there.netns, asked.netns),
        ("pool", there.pool, asked.pool),
        ("device", there.device, None if asked.device == "auto" else asked.device),
        ("mtu", there.mtu, asked.mtu),
        ("configuration", there.configuration, asked.configuration or None),
    ):
        if wants is not None and wants != has:
            raise _is_other(there, f"{what} {has}", f"{wants}")
    for address in asked.fixed:
        if address not in there.addresses:
            raise _is_other(there, ", ".join(map(str, there.addresses)), f"{address}")


def _is_other(there: Lease, has: str, wants: str) -> ConfigError:
    what = f"{there.attachment} has {has} already, and now {shown(wants)} is asked for"
    return ConfigError(what, "remove it first")
