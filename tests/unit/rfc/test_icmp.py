# SPDX-License-Identifier: Apache-2.0
"""RFC 7915 sections 4.2 and 5.2: tables of ICMP types, codes, pointers and MTUs."""

import pytest

from sixlane.rfc.icmp import error_46, error_64, fragmentation_needed_mtu, packet_too_big_mtu

POINTERS_46 = {
    **{0: 0, 1: 1, 2: 4, 3: 4, 8: 7, 9: 6},
    **{12: 8, 13: 8, 14: 8, 15: 8, 16: 24, 17: 24, 18: 24, 19: 24},
}
POINTERS_64 = {
    **{0: 0, 1: 1, 4: 2, 5: 2, 6: 9, 7: 8, 8: 12, 15: 12, 16: 12, 23: 12},
    **{24: 16, 31: 16, 32: 16, 39: 16},
}


@pytest.mark.conformance(35, 36, 37, 38)
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        *((code, (1, 0, 0)) for code in (0, 1, 5, 6, 7, 8, 11, 12)),
        (2, (4, 1, 6)),
        (3, (1, 4, 0)),
        (4, (2, 0, 0)),
        *((code, (1, 1, 0)) for code in (9, 10, 13, 15)),
        *((code, None) for code in (14, 16, 17, 255)),
    ],
)
def test_unreachable_46(code: int, expected: tuple[int, int, int] | None) -> None:
    assert error_46(3, code, 0) == expected


@pytest.mark.conformance(41)
def test_time_exceeded_46() -> None:
    assert error_46(11, 0, 0) == (3, 0, 0)
    assert error_46(11, 1, 0) == (3, 1, 0)


@pytest.mark.conformance(42)
@pytest.mark.parametrize("pointer", range(24))
@pytest.mark.parametrize("code", [0, 2])
def test_parameter_problem_46(code: int, pointer: int) -> None:
    expected = (4, 0, POINTERS_46[pointer]) if pointer in POINTERS_46 else None
    assert error_46(12, code, pointer) == expected


@pytest.mark.conformance(43)
@pytest.mark.parametrize("code", [1, 3, 255])
def test_other_parameter_problems_46(code: int) -> None:
    assert error_46(12, code, 0) is None


@pytest.mark.conformance(34)
@pytest.mark.parametrize("icmp_type", [4, 5, 6, 9, 10, *range(13, 19), 1, 2, 7, 19, 40, 255])
def test_types_without_counterpart_46(icmp_type: int) -> None:
    assert error_46(icmp_type, 0, 0) is None


@pytest.mark.conformance(46)
@pytest.mark.parametrize(
    ("code", "expected"),
    [(0, (3, 1, 0)), (1, (3, 10, 0)), (2, (3, 1, 0)), (3, (3, 1, 0)), (4, (3, 3, 0))]
    + [(code, None) for code in (5, 6, 7, 255)],
)
def test_unreachable_64(code: int, expected: tuple[int, int, int] | None) -> None:
    assert error_64(1, code, 0) == expected


@pytest.mark.conformance(47, 48)
def test_too_big_and_time_exceeded_64() -> None:
    assert error_64(2, 0, 1500) == (3, 4, 0)
    assert error_64(3, 0, 0) == (11, 0, 0)
    assert error_64(3, 1, 0) == (11, 1, 0)


@pytest.mark.conformance(49)
@pytest.mark.parametrize("pointer", [*range(42), 255, 256, 2**32 - 1])
def test_parameter_problem_64(pointer: int) -> None:
    expected = None
    if pointer in (2, 3) or pointer > 39:
        assert error_64(4, 0, pointer) is None
        return
    known = max(known for known in POINTERS_64 if known <= pointer)
    expected = (12, 0, POINTERS_64[known])
    assert error_64(4, 0, pointer) == expected


@pytest.mark.conformance(50)
def test_other_parameter_problems_64() -> None:
    assert error_64(4, 1, 40) == (3, 2, 0)
    assert error_64(4, 2, 40) is None
    assert error_64(4, 3, 0) is None


@pytest.mark.conformance(45)
@pytest.mark.parametrize("icmp_type", [0, 5, 100, 127, *range(130, 138), 143, 200, 255])
def test_types_without_counterpart_64(icmp_type: int) -> None:
    assert error_64(icmp_type, 0, 0) is None


@pytest.mark.conformance(39)
@pytest.mark.parametrize(
    ("mtu", "mtu4", "mtu6", "expected"),
    [
        (1400, 1500, 1500, 1420),
        (1500, 1500, 1500, 1500),  # the IPv6 next hop
        (1500, 1500, 9000, 1520),
        (9000, 1400, 9000, 1420),  # the IPv4 next hop
        (1260, 1500, 1500, 1280),
        (576, 1500, 1500, 1280),
        (1, 1500, 1500, 1280),
        (65535, 65535, 70000, 65555),
    ],
)
def test_packet_too_big(mtu: int, mtu4: int, mtu6: int, expected: int) -> None:
    assert packet_too_big_mtu(mtu, 1500, mtu4=mtu4, mtu6=mtu6) == expected


@pytest.mark.conformance(40)
@pytest.mark.parametrize(
    ("quoted_bytes", "expected"),
    [
        *((65535, 32000), (32001, 32000), (32000, 17914), (17914, 8166), (8166, 4352)),
        *((4352, 2002), (2003, 2002), (2002, 1492), (1500, 1492), (1493, 1492)),
        *((1492, 1280), (1300, 1280), (28, 1280)),
    ],
)
def test_plateaus(quoted_bytes: int, expected: int) -> None:
    assert packet_too_big_mtu(0, quoted_bytes, mtu4=65535, mtu6=65535) == expected
    assert packet_too_big_mtu(0, quoted_bytes, mtu4=1480, mtu6=65535) == min(expected, 1500)


@pytest.mark.conformance(47)
@pytest.mark.parametrize(
    ("mtu", "fragment", "mtu4", "mtu6", "expected"),
    [
        (1500, False, 1500, 1500, 1480),
        (1280, False, 1500, 1500, 1260),
        (1500, True, 1500, 1500, 1472),
        (9000, False, 1400, 9000, 1400),
        (9000, False, 9000, 1500, 1480),
        (9000, True, 9000, 1500, 1472),
        (2**32 - 1, False, 65535, 2**17, 65535),
        (2**32 - 1, False, 65536, 2**17, 65535),
        (20, False, 1500, 1500, 0),
        (0, False, 1500, 1500, 0),
        (27, True, 1500, 1500, 0),
    ],
)
def test_fragmentation_needed(
    mtu: int, fragment: bool, mtu4: int, mtu6: int, expected: int
) -> None:
    assert fragmentation_needed_mtu(mtu, quoted_fragment=fragment, mtu4=mtu4, mtu6=mtu6) == expected
