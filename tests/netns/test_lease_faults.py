# SPDX-License-Identifier: Apache-2.0
"""Leases on a disk that is full, or cannot be written: refused in one line, and nothing changes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sixlane.errors import SixlaneError
from sixlane.pods import Lease
from sixlane.pods.leases import Leases
from tests import needs, small_disk
from tests.unit.pods.networks import USUAL, asked, network

pytestmark = [pytest.mark.netns, needs.root, needs.command("mount")]

NETWORK = network("2001:db8:64:1::/64", "10.64.0.0/16")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk.mounted(tmp_path):
        yield tmp_path


def add(leases: Leases, name: object) -> Lease:
    return leases.add(asked(name), NETWORK, USUAL)


def refused(leases: Leases, name: object) -> str:
    """The one line that says why."""
    before = leases.all()
    with pytest.raises(SixlaneError) as caught:
        add(leases, name)
    assert leases.all() == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_full_disk(disk: Path) -> None:
    leases = Leases(disk / "leases.db")
    there = [add(leases, name) for name in range(3)]
    filler = small_disk.fill(disk)
    made = 3
    with pytest.raises(SixlaneError, match="the disk is full; pods keep what they have"):
        while True:  # as far as the log has room from before
            there.append(add(leases, made))
            made += 1
    assert "the disk is full" in refused(leases, "more")
    with pytest.raises(SixlaneError, match="the disk is full"):
        leases.ready(there[0].attachment)
    with pytest.raises(SixlaneError, match="the disk is full"):
        leases.remove(there[0].attachment)
    assert add(leases, 0) == there[0], "which needs no room"
    leases.close()
    leases = Leases(disk / "leases.db")  # a start
    assert {lease.attachment: lease for lease in leases.all()} == {
        lease.attachment: lease for lease in there
    }
    filler.unlink()
    lease = add(leases, "more")
    assert lease.addresses[0] == there[-1].addresses[0] + 1, "the refused ones took none"
    assert leases.remove(there[0].attachment) == there[0]
    leases.close()


def test_a_disk_that_becomes_read_only(disk: Path) -> None:
    leases = Leases(disk / "leases.db")
    one = add(leases, "a")
    leases.close()
    small_disk.remount(disk, "ro")
    leases = Leases(disk / "leases.db")
    assert leases.refusal is not None and "EROFS" in str(leases.refusal)
    assert leases.all() == [one]
    assert add(leases, "a") == one
    assert leases.remove(asked("b").attachment) is None
    assert "EROFS" in refused(leases, "b")
    with pytest.raises(SixlaneError, match="EROFS"):
        leases.ready(one.attachment)
    with pytest.raises(SixlaneError, match="EROFS"):
        leases.remove(one.attachment)
    small_disk.remount(disk, "rw")
    assert add(leases, "b").addresses[0] == one.addresses[0] + 1
    assert leases.refusal is None
    leases.close()


def test_a_first_start_on_a_read_only_disk(disk: Path) -> None:
    small_disk.remount(disk, "ro")
    leases = Leases(disk / "leases.db")
    assert leases.all() == []
    assert "EROFS" in refused(leases, "a")
    small_disk.remount(disk, "rw")
    one = add(leases, "a")
    leases.close()
    leases = Leases(disk / "leases.db")
    assert leases.all() == [one]
    leases.close()
