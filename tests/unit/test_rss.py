# SPDX-License-Identifier: Apache-2.0
"""The hash by which tests say how a NIC spreads packets, by the results that its authors give."""

from ipaddress import ip_address

import pytest

from tests import rss


@pytest.mark.parametrize(
    ("source", "destination", "hash"),
    [
        ("66.9.149.187", "161.142.100.80", 0x323E8FC2),
        ("199.92.111.2", "65.69.140.83", 0xD718262A),
        ("3ffe:2501:200:1fff::7", "3ffe:2501:200:3::1", 0x2CC18CD5),
        ("3ffe:501:8::260:97ff:fe40:efab", "ff02::1", 0x0F0C461C),
    ],
)
def test_toeplitz(source: str, destination: str, hash: int) -> None:
    assert rss.toeplitz(ip_address(source), ip_address(destination)) == hash
