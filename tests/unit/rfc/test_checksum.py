# SPDX-License-Identifier: Apache-2.0
"""RFC 1071 and RFC 1624."""

import pytest

from sixlane.rfc.checksum import checksum, fold, update, verifies


def test_rfc1071_section_3_example() -> None:
    data = bytes.fromhex("0001 f203 f4f5 f6f7")
    assert checksum(data) == 0xFFFF - 0xDDF2


def test_odd_byte_is_padded_on_the_right() -> None:
    assert checksum(b"\x01\x02\x03") == checksum(b"\x01\x02\x03\x00") == 0xFFFF - 0x0402


def test_fold_keeps_a_positive_number_positive() -> None:
    assert [fold(n) for n in (0, 1, 0xFFFF, 0x10000, 0x1FFFE)] == [0, 1, 0xFFFF, 1, 0xFFFF]


def test_header_of_a_known_packet_verifies() -> None:
    header = bytes.fromhex("4500003c1c4640004006b1e6ac100a63ac100a0c")
    assert verifies(header)
    assert not verifies(header[:8] + b"\x41" + header[9:])


def test_rfc1624_section_4_example() -> None:
    # HC 0xdd2f, a field changes from 0x5555 to 0x3285: the right result is 0x0000, not 0xffff.
    assert update(0xDD2F, b"\x55\x55", b"\x32\x85") == 0x0000


@pytest.mark.parametrize("field", [0x0000, 0xFFFF, 0x1234])
def test_field_stays_when_the_sum_does(field: int) -> None:
    assert update(field, b"\x12\x34\x00\x01", b"\x00\x01\x12\x34") == field
    assert update(field, b"\x00\x00", b"\xff\xff") == field
    assert update(field, b"", bytes.fromhex("0064ff9b")) == field


def test_wrong_checksum_stays_as_wrong() -> None:
    old, new = b"\x01\x02\x03\x04", b"\x05\x06\x07\x08"
    error = 0x11
    assert update(checksum(old) - error, old, new) == checksum(new) - error
