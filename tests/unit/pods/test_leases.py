# SPDX-License-Identifier: Apache-2.0
"""What an ADD gets, and what of it is kept."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import pytest

from sixlane.errors import ConfigError, SixlaneError
from sixlane.model import Network
from sixlane.pods import Attachment, Lease, PodName, Usual, lease_tables
from sixlane.pods.ipam import NothingFree
from sixlane.pods.leases import Leases
from tests.unit.pods.networks import DUAL, DUAL_ROOM, EGRESS, SMALL, USUAL, asked, network

DEVICE_OF_A = "sl90fb2886108"  # printf 'container-a\0eth0' | sha256sum
LARGE = network("2001:db8:64:1::/64")


@pytest.fixture
def leases(tmp_path: Path) -> Iterator[Leases]:
    made = Leases(tmp_path / "leases.db")
    yield made
    made.close()


def add(leases: Leases, name: object, of: Network = DUAL, *fixed: str, **keys: Any) -> Lease:
    return leases.add(asked(name, *fixed, **keys), of, USUAL)


def addresses(lease: Lease) -> list[str]:
    return [str(one) for one in lease.addresses]


def test_all_of_a_lease(leases: Leases) -> None:
    pod = PodName("default", "web-0", "0f1e")
    lease = add(leases, "a", pod=pod)
    assert lease == Lease(
        attachment=Attachment("container-a", "eth0"),
        netns="/run/netns/a",
        pod=pod,
        pool="default",
        addresses=(IPv6Address("2001:db8:64:1::2"), IPv4Address("10.64.1.2")),
        egress=IPv6Address("64:ff9b::192.175.48.0"),
        device="veth",
        host_device=DEVICE_OF_A,
        mtu=1500,
        ready=False,
    )
    assert leases.of(lease.attachment) == lease
    assert leases.all() == [lease]


def test_ipv6_alone(leases: Leases) -> None:
    lease = add(leases, "a", LARGE)
    assert (addresses(lease), lease.egress, lease.pod) == (["2001:db8:64:1::2"], None, None)
    assert leases.of(lease.attachment) == lease


def test_the_same_attachment_has_the_same_lease(leases: Leases) -> None:
    first = add(leases, "a")
    assert add(leases, "a") == first
    assert add(leases, "a", DUAL, addresses(first)[1], pool="default", device="auto") == first
    assert add(leases, "a", network("2001:db8:77::/64", device="netkit", mtu=9000)) == first
    assert add(leases, "a", ifname="net1") != first
    assert len(leases.all()) == 2


@pytest.mark.parametrize(
    ("keys", "has", "wants"),
    [
        ({"pool": "other"}, "pool default", "other"),
        ({"device": "netkit"}, "device veth", "netkit"),
        ({"mtu": 1400}, "mtu 1500", "1400"),
        ({"configuration": "others"}, "configuration ", "others"),
        ({"fixed": (ip_address("10.64.1.3"),)}, "10.64.1.2", "10.64.1.3"),
        ({"netns": "/run/netns/b"}, "netns /run/netns/a", "/run/netns/b"),
    ],
)
def test_another_answer_is_refused(
    leases: Leases, keys: dict[str, Any], has: str, wants: str
) -> None:
    lease = add(leases, "a")
    with pytest.raises(ConfigError) as caught:
        leases.add(replace(asked("a"), **keys), DUAL, USUAL)
    assert caught.value.message.startswith("eth0 of container-a has ")
    assert has in caught.value.message and f"now {wants} is asked for" in caught.value.message
    assert leases.all() == [lease]


@pytest.mark.parametrize(
    ("of_network", "of_pod", "expected"),
    [
        ("auto", None, "netkit"),
        ("auto", "auto", "netkit"),
        ("auto", "veth", "veth"),
        ("veth", None, "veth"),
        ("veth", "auto", "netkit"),
        ("veth", "netkit-l2", "netkit-l2"),
        ("netkit-l2", None, "netkit-l2"),
    ],
)
def test_devices(leases: Leases, of_network: str, of_pod: Any, expected: str) -> None:
    of = network("2001:db8:64:1::/64", device=of_network)
    lease = leases.add(asked("a", device=of_pod), of, Usual("netkit", 1500))
    assert lease.device == expected


@pytest.mark.parametrize(
    ("of_network", "of_pod", "expected"),
    [(None, None, 1400), (9000, None, 9000), (9000, 1280, 1280), (None, 1280, 1280)],
)
def test_mtus(leases: Leases, of_network: int | None, of_pod: int | None, expected: int) -> None:
    of = network("2001:db8:64:1::/64", mtu=of_network)
    lease = leases.add(asked("a", mtu=of_pod), of, Usual("veth", 1400))
    assert lease.mtu == expected


def test_pools(leases: Leases) -> None:
    more = [{"name": "more", "ranges": ["2001:db8:77::/64", "10.77.0.0/24"]}]
    of = network("2001:db8:64:1::/64", pools=more)
    assert addresses(add(leases, "a", of)) == ["2001:db8:64:1::2"]
    lease = add(leases, "b", of, pool="more")
    assert (addresses(lease), lease.pool) == (["2001:db8:77::2", "10.77.0.2"], "more")
    with pytest.raises(ConfigError, match=r"Network pods has no pool mor \(did you mean more\?\)"):
        add(leases, "c", of, pool="mor")


def test_fixed_addresses(leases: Leases) -> None:
    lease = add(leases, "a", DUAL, "10.64.1.3")
    assert addresses(lease) == ["2001:db8:64:1::2", "10.64.1.3"]
    both = add(leases, "b", DUAL, "10.64.1.14", "2001:db8:64:1::ff")
    assert addresses(both) == ["2001:db8:64:1::ff", "10.64.1.14"]
    assert addresses(add(leases, "c")) == ["2001:db8:64:1::3", "10.64.1.2"]
    assert addresses(add(leases, "d")) == ["2001:db8:64:1::4", "10.64.1.4"], "not 10.64.1.3"


@pytest.mark.parametrize(
    ("fixed", "what", "hint"),
    [
        (["2001:db8:77::2"], "2001:db8:77::2 is outside of pool default", "pool more has it"),
        (["2001:db8:99::2"], "is outside of pool default of Network pods", "2001:db8:64:1::/120"),
        (["2001:db8:77::1"], "2001:db8:77::1 is outside of pool default", "the pool has"),
        (["10.64.1.0"], "10.64.1.0 is reserved in 10.64.1.0/28 of pool default", ""),
        (["2001:db8:64:1::1"], "is the node's own in 2001:db8:64:1::/120 of pool default", ""),
        (["2001:db8:64:1::2"], "2001:db8:64:1::2 is taken by eth0 of container-other", "another"),
        (["10.64.1.4", "10.64.1.5"], "10.64.1.4 and 10.64.1.5 are asked for", "one IPv4 address"),
    ],
)
def test_fixed_addresses_that_cannot_be_had(
    leases: Leases, fixed: list[str], what: str, hint: str
) -> None:
    of = network(*SMALL, pools=[{"name": "more", "ranges": ["2001:db8:77::/64"]}])
    other = add(leases, "other", of)
    with pytest.raises(ConfigError) as caught:
        add(leases, "a", of, *fixed)
    assert what in caught.value.message
    assert hint in caught.value.hint
    assert leases.all() == [other]
    assert addresses(add(leases, "a", of)) == ["2001:db8:64:1::3", "10.64.1.3"], "nothing is lost"


def test_a_fixed_address_that_rests(leases: Leases) -> None:
    add(leases, "a")
    leases.remove(asked("a").attachment)
    assert addresses(add(leases, "b", DUAL, "10.64.1.2"))[1] == "10.64.1.2"
    everything = [add(leases, name) for name in range(12)]
    assert "10.64.1.2" not in {address for one in everything for address in addresses(one)}
    with pytest.raises(NothingFree):
        add(leases, "more")


def test_until_nothing_is_free(leases: Leases) -> None:
    """Of IPv4; 2001:db8:64:1::/120 is not used up by then."""
    made = [add(leases, name) for name in range(DUAL_ROOM)]
    for attribute in ("addresses", "egress", "host_device"):
        assert len({getattr(lease, attribute) for lease in made}) == DUAL_ROOM
    before = leases.all()
    with pytest.raises(NothingFree) as caught:
        add(leases, "more")
    assert caught.value.message == "pool default of Network pods has no free IPv4 address"
    assert leases.all() == before
    leases.remove(made[4].attachment)
    lease = add(leases, "more")
    assert lease.addresses[1] == made[4].addresses[1]
    assert str(lease.addresses[0]) == "2001:db8:64:1::f", "the refused one took none"


def test_until_there_is_no_egress(leases: Leases) -> None:
    of = network("2001:db8:64:1::/64", statelessEgress={**EGRESS, "ipv4": ["192.175.48.8/31"]})
    assert [str(add(leases, name, of).egress) for name in range(2)] == [
        "64:ff9b::c0af:3008",
        "64:ff9b::c0af:3009",
    ]
    with pytest.raises(NothingFree, match="statelessEgress of Network pods has no free IPv4"):
        add(leases, "more", of)
    leases.remove(asked(0).attachment)
    lease = add(leases, "more", of)
    assert str(lease.egress) == "64:ff9b::c0af:3008"
    assert addresses(lease) == ["2001:db8:64:1::4"], "the refused one took none"


def test_an_egress_of_another_prefix(leases: Leases) -> None:
    """RFC 6052 2.4: 192.0.2.33 under 2001:db8:122::/48 is 2001:db8:122:c000:2:2100::."""
    egress = {"prefix": "2001:db8:122::/48", "ipv4": ["192.0.2.33"]}
    lease = add(leases, "a", network("2001:db8:64:1::/64", statelessEgress=egress))
    assert str(lease.egress) == "2001:db8:122:c000:2:2100::"
    assert leases.of(lease.attachment) == lease


def test_an_ipv4_address_stands_for_one_pod_under_whatever_prefix(leases: Leases) -> None:
    one = {"prefix": "2001:db8:122::/48", "ipv4": ["192.175.48.8/31"]}
    first = add(leases, "a", network("2001:db8:64:1::/64", statelessEgress=one))
    other = {"prefix": "64:ff9b::/96", "ipv4": ["192.175.48.8/31"]}
    second = add(leases, "b", network("2001:db8:64:1::/64", statelessEgress=other))
    assert str(first.egress) == "2001:db8:122:c0af:30:800::"
    assert str(second.egress) == "64:ff9b::c0af:3009"


def test_ready(leases: Leases) -> None:
    lease = add(leases, "a")
    leases.ready(lease.attachment)
    there = leases.of(lease.attachment)
    assert there is not None and there.ready
    assert add(leases, "a") == there
    leases.ready(lease.attachment)
    with pytest.raises(ConfigError, match=r"eth0 of container-b has no lease"):
        leases.ready(asked("b").attachment)


def test_remove(leases: Leases) -> None:
    lease = add(leases, "a")
    other = add(leases, "b")
    assert leases.remove(lease.attachment) == lease
    assert leases.remove(lease.attachment) is None
    assert leases.of(lease.attachment) is None
    assert leases.all() == [other]


def test_what_was_unused_longest_comes_first(leases: Leases) -> None:
    of = network("2001:db8:64:1::/64", "10.64.1.0/29")
    for name in range(5):
        add(leases, name, of)
    for name in (3, 1, 4):
        leases.remove(asked(name).attachment)
    order = [addresses(add(leases, f"new-{name}", of))[1] for name in range(3)]
    assert order == ["10.64.1.5", "10.64.1.3", "10.64.1.6"]
    leases.remove(asked("new-2").attachment)
    leases.remove(asked("new-0").attachment)
    assert addresses(add(leases, "newer", of))[1] == "10.64.1.6"


@pytest.mark.parametrize("remembered", [0, 3, 100])
def test_a_large_pool_gives_none_again(
    leases: Leases, monkeypatch: pytest.MonkeyPatch, remembered: int
) -> None:
    monkeypatch.setattr(lease_tables, "REMEMBERED", remembered)
    order = []
    for name in range(20):
        order += addresses(add(leases, name, LARGE))
        leases.remove(asked(name).attachment)
    assert order == [f"2001:db8:64:1::{name:x}" for name in range(2, 22)]


def test_a_pool_that_shrinks_keeps_leases(leases: Leases) -> None:
    wide = network("2001:db8:64:1::/64", "10.64.1.0/28", "10.64.2.0/28", statelessEgress=EGRESS)
    before = [add(leases, name, wide) for name in range(15)]
    assert str(before[-1].addresses[1]) == "10.64.2.3"
    narrow = network("2001:db8:77::/64", "10.64.1.0/28")
    assert leases.all() == sorted(before, key=lambda one: one.attachment)
    assert add(leases, 14, narrow) == before[14]
    with pytest.raises(NothingFree):
        add(leases, "more", narrow)
    leases.remove(before[14].attachment)  # its address is no longer the pool's
    with pytest.raises(NothingFree):
        add(leases, "more", narrow)
    leases.remove(before[0].attachment)
    lease = add(leases, "more", narrow)
    assert addresses(lease) == ["2001:db8:77::2", "10.64.1.2"]
    assert lease.egress is None
    # And it grows again: who was there has what it had.
    lease = add(leases, "again", wide)
    assert addresses(lease) == ["2001:db8:64:1::11", "10.64.2.4"]
    assert str(lease.egress) == "64:ff9b::c0af:300f"


def test_stale(leases: Leases) -> None:
    """Of one network configuration, whatever others have."""
    one, two, three = (add(leases, name, configuration="pods") for name in ("a", "b", "c"))
    other = add(leases, "d", configuration="others")
    assert one.configuration == "pods"
    assert leases.stale([two.attachment, asked("gone").attachment], "pods") == [one, three]
    assert leases.stale([one.attachment, two.attachment, three.attachment], "pods") == []
    second = Attachment(one.attachment.container_id, "net1")
    assert leases.stale([second, two.attachment, three.attachment], "pods") == [one]
    assert leases.stale([], "others") == [other]


def test_two_attachments_with_one_device_name(
    leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = add(leases, "a")
    monkeypatch.setattr(Attachment, "host_device", property(lambda self: lease.host_device))
    what = f"eth0 of container-a has the device name of eth0 of container-b, {DEVICE_OF_A}"
    with pytest.raises(ConfigError, match=what):
        add(leases, "b")
    assert leases.all() == [lease]


def test_a_restart(tmp_path: Path) -> None:
    leases = Leases(tmp_path / "leases.db")
    one, two = add(leases, "a", pod=PodName("default", "web", "")), add(leases, "b")
    leases.ready(one.attachment)
    leases.remove(two.attachment)
    leases.close()
    again = Leases(tmp_path / "leases.db")
    (there,) = again.all()
    assert there == replace(one, ready=True)
    assert addresses(add(again, "c")) == ["2001:db8:64:1::4", "10.64.1.4"]
    again.close()


def test_only_we_may_read_it(leases: Leases, tmp_path: Path) -> None:
    add(leases, "a")
    for path in tmp_path.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600


def test_what_is_remembered_has_an_end(leases: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    """A range that is used up still gives all of its addresses."""
    monkeypatch.setattr(lease_tables, "REMEMBERED", 4)
    of = network("2001:db8:64:1::/120", "10.64.1.0/29")  # five IPv4 addresses
    for turn in range(40):
        lease = add(leases, turn, of)
        leases.remove(lease.attachment)
    with sqlite3.connect(leases._path) as db:
        (rested,) = db.execute("SELECT count(*) FROM rested").fetchone()
    db.close()
    assert rested == 4
    given = [addresses(add(leases, f"new-{turn}", of))[1] for turn in range(5)]
    assert sorted(given) == [f"10.64.1.{last}" for last in range(2, 7)]


def test_in_parallel(leases: Leases) -> None:
    """Each of 16 asks for the same 40, and then for 13 places for 40."""
    with ThreadPoolExecutor(16) as pool:
        every = list(
            pool.map(lambda _: [add(leases, name, LARGE) for name in range(40)], range(16))
        )
    assert all(one == every[0] for one in every)
    assert len({lease.addresses for lease in every[0]}) == 40

    def attempt(name: int) -> Lease | None:
        try:
            return add(leases, f"small-{name}", network("2001:db8:77::/64", "10.64.1.0/28"))
        except NothingFree:
            return None

    with ThreadPoolExecutor(16) as pool:
        made = [lease for lease in pool.map(attempt, range(40)) if lease]
    assert len(made) == 13
    assert len({lease.addresses[1] for lease in made}) == 13


# ---- files that fail ----


def test_a_full_file_changes_nothing(leases: Leases) -> None:
    one = add(leases, "a")
    db = leases._database._db
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages}")
    there = [one]
    with pytest.raises(SixlaneError) as caught:
        for name in range(1000):
            there.append(add(leases, name, LARGE))
    assert str(caught.value).endswith("(the disk is full; pods keep what they have)")
    assert "\n" not in str(caught.value)
    there.sort(key=lambda lease: lease.attachment)
    assert leases.all() == there
    assert add(leases, "a") == one, "which needs no room"
    db.execute(f"PRAGMA max_page_count = {pages * 2}")
    last = max(lease.addresses[0] for lease in there if lease is not one)
    assert add(leases, "more", LARGE).addresses[0] == last + 1, "the refused one took none"


def test_a_file_of_another_version(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "leases.db") as db:
        db.execute("PRAGMA user_version = 2")
    db.close()
    with pytest.raises(SixlaneError, match=r"another version of sixlane \(schema 2\) \(pods keep"):
        Leases(tmp_path / "leases.db")


def test_a_file_that_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "leases.db").write_bytes(b"\xa5" * 8192)
    with pytest.raises(SixlaneError) as caught:
        Leases(tmp_path / "leases.db")
    assert "not a database" in caught.value.message
    assert "pods keep what they have: move it away" in caught.value.hint


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SixlaneError, match="ENOENT"):
        Leases(tmp_path / "none" / "leases.db")
