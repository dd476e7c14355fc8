# SPDX-License-Identifier: Apache-2.0
"""Which addresses are given, which never, and in which order."""

from collections.abc import Iterable
from ipaddress import ip_address, ip_network

import pytest

from sixlane.model.addresses import AnyNetwork
from sixlane.pods import ipam
from sixlane.pods.ipam import Givable, Span, address_of, number_of


class Known:
    """A `Book` of lists. `rested`: the longest first."""

    def __init__(self, held: Iterable[str] = (), rested: Iterable[str] = ()) -> None:
        self.held = {number_of(ip_address(one)) for one in held}
        self.rested = [number_of(ip_address(one)) for one in rested]
        self.starts: dict[AnyNetwork, int] = {}

    def is_known(self, number: int) -> bool:
        return number in self.held or number in self.rested

    def count(self, span: Span) -> int:
        return sum(span[0] <= one <= span[1] for one in (*self.held, *self.rested))

    def start(self, network: AnyNetwork) -> int | None:
        return self.starts.get(network)

    def longest_rested(self, spans: Iterable[Span]) -> int | None:
        spans = list(spans)
        fitting = (one for one in self.rested if any(first <= one <= last for first, last in spans))
        return next(fitting, None)


def of_pool(text: str) -> Givable:
    return ipam.of_pool(ip_network(text))


def picked(book: Known, *ranges: Givable) -> str | None:
    """The address; the book knows it from then on."""
    found = ipam.pick(ranges, book)
    if found is None:
        return None
    number, unknown_in = found
    assert number not in book.held
    if unknown_in is None:
        book.rested.remove(number)
    else:
        book.starts[unknown_in] = number + 1
    book.held.add(number)
    return str(address_of(number))


def every(givable: Givable) -> list[str]:
    return [
        str(address_of(number))
        for first, last in givable.spans
        for number in range(first, last + 1)
    ]


@pytest.mark.parametrize(
    ("network", "first", "last", "size"),
    [
        ("2001:db8:64:1::/120", "2001:db8:64:1::2", "2001:db8:64:1::ff", 254),
        ("2001:db8:64:1::100/120", "2001:db8:64:1::102", "2001:db8:64:1::1ff", 254),
        ("2001:db8:64:1::/112", "2001:db8:64:1::2", "2001:db8:64:1::ffff", 65534),
        ("10.64.1.0/28", "10.64.1.2", "10.64.1.14", 13),
        ("10.64.1.4/30", "10.64.1.6", "10.64.1.6", 1),
        ("10.64.0.0/16", "10.64.0.2", "10.64.255.254", 65533),
    ],
)
def test_what_pods_may_get(network: str, first: str, last: str, size: int) -> None:
    addresses = every(of_pool(network))
    assert (addresses[0], addresses[-1], len(addresses)) == (first, last, size)
    assert of_pool(network).size == size


def test_reserved_interface_identifiers() -> None:
    """RFC 5453: IANA's block from 0200:5EFF:FE00:0 to 0200:5EFF:FEFF:FFFF, anycast from
    FDFF:FFFF:FFFF:FF80 to FDFF:FFFF:FFFF:FFFF."""
    whole = of_pool("2001:db8:64:1::/64")
    assert whole.size == 2**64 - 2 - 2**24 - 2**7
    for address, free in (
        ("::200:5eff:fdff:ffff", True),
        ("::200:5eff:fe00:0", False),
        ("::200:5eff:fe00:5213", False),
        ("::200:5eff:feff:ffff", False),
        ("::200:5eff:ff00:0", True),
        ("::fdff:ffff:ffff:ff7f", True),
        ("::fdff:ffff:ffff:ff80", False),
        ("::fdff:ffff:ffff:ffff", False),
        ("::fe00:0:0:0", True),
        ("::ffff:ffff:ffff:ffff", True),
    ):
        number = number_of(ip_address("2001:db8:64:1::")) + int(ip_address(address))
        assert whole.holds(number) is free, address
    assert of_pool("2001:db8:64:1:fdff:ffff:ffff:ff00/120").size == 256 - 2 - 128
    nothing = of_pool("2001:db8:64:1:200:5eff:fe00:100/120")
    assert nothing.size == 0
    assert picked(Known(), nothing) is None


def test_all_of_stateless_egress() -> None:
    assert every(ipam.of_egress(ip_network("192.175.48.0/30"))) == [
        f"192.175.48.{last}" for last in range(4)
    ]


def test_one_after_the_other_until_none_is_left() -> None:
    book, few = Known(), of_pool("10.64.1.0/29")
    assert [picked(book, few) for _ in range(6)] == [*(f"10.64.1.{n}" for n in range(2, 7)), None]


def test_who_rests_longest_goes_first_and_unknown_ones_before() -> None:
    few = of_pool("10.64.1.0/29")
    book = Known(held=["10.64.1.3"], rested=["10.64.1.5", "10.64.1.2"])
    order = [picked(book, few) for _ in range(5)]
    assert order == ["10.64.1.4", "10.64.1.6", "10.64.1.5", "10.64.1.2", None]


def test_ranges_of_others_do_not_count() -> None:
    book = Known(rested=["10.64.2.2", "10.64.1.6", "2001:db8::2"])
    assert picked(book, of_pool("10.64.1.4/30")) == "10.64.1.6"
    assert picked(book, of_pool("10.64.1.4/30")) is None


def test_another_range_when_the_first_has_none_that_is_unknown() -> None:
    ranges = of_pool("10.64.1.4/30"), of_pool("10.64.2.4/30")
    book = Known(rested=["10.64.1.6"])
    assert [picked(book, *ranges) for _ in range(3)] == ["10.64.2.6", "10.64.1.6", None]


def test_what_is_forgotten_is_found_behind_the_end() -> None:
    """An address that nobody remembers has rested longer than all that are remembered."""
    few = of_pool("10.64.1.0/29")
    book = Known(held=["10.64.1.2", "10.64.1.4", "10.64.1.6"], rested=["10.64.1.5"])
    book.starts[few.network] = number_of(ip_address("10.64.1.7"))
    assert [picked(book, few) for _ in range(3)] == ["10.64.1.3", "10.64.1.5", None]


def test_many_that_are_known() -> None:
    """They are counted, and not looked up one by one: of a /16 only the first few are."""
    middle = of_pool("10.64.0.0/16")
    asked: list[int] = []

    class AllKnown(Known):
        def is_known(self, number: int) -> bool:
            asked.append(number)
            return True

        def count(self, span: Span) -> int:
            return span[1] - span[0] + 1 - self.unknown

        unknown = 0

    book = AllKnown()
    book.rested = [number_of(ip_address("10.64.7.7"))]
    assert picked(book, middle) == "10.64.7.7"
    assert len(asked) < 100
    book.unknown = 1
    assert picked(book, middle) is None
    assert len(asked) > 65533, "one of them would have been found"


def test_a_large_range_begins_behind_the_last() -> None:
    large = of_pool("2001:db8:64:1::/64")
    book = Known(rested=["2001:db8:64:1::2", "2001:db8:64:1::3"])
    assert picked(book, large) == "2001:db8:64:1::4"
    book.held.clear()
    assert picked(book, large) == "2001:db8:64:1::5"
    book.starts[large.network] = number_of(ip_address("2001:db8:64:1:200:5eff:fe00:0"))
    assert picked(book, large) == "2001:db8:64:1:200:5eff:ff00:0"


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("2001:db8:64:1::2", None),
        ("10.64.1.14", None),
        ("2001:db8:64:1::", "is reserved in 2001:db8:64:1::/64 of"),
        ("2001:db8:64:1::1", "is the node's own in 2001:db8:64:1::/64 of"),
        ("2001:db8:64:1:fdff:ffff:ffff:fffe", "is reserved in 2001:db8:64:1::/64 of"),
        ("2001:db8:64:2::2", "is outside of"),
        ("10.64.1.0", "is reserved in 10.64.1.0/28 of"),
        ("10.64.1.1", "is the node's own in 10.64.1.0/28 of"),
        ("10.64.1.15", "is reserved in 10.64.1.0/28 of"),
        ("10.64.1.16", "is outside of"),
    ],
)
def test_why_no_pod_can_have_it(address: str, why: str | None) -> None:
    ranges = [of_pool("2001:db8:64:1::/64"), of_pool("10.64.1.0/28")]
    assert ipam.why_not(ranges, ip_address(address)) == why


def test_all_of_it_once_wherever_it_begins() -> None:
    several = Givable(ip_network("10.64.1.0/28"), ((3, 5), (7, 7), (10, 14)))
    whole = [3, 4, 5, 7, 10, 11, 12, 13, 14]
    for start in range(17):
        found = [
            number for first, last in several.from_there(start) for number in range(first, last + 1)
        ]
        behind = [number for number in whole if number >= start]
        assert found == [*behind, *whole[: len(whole) - len(behind)]]


def test_numbers_are_those_of_one_family() -> None:
    assert number_of(ip_address("10.0.0.1")) == 0xFFFF_0A00_0001
    for text in ("10.0.0.1", "2001:db8::1"):
        assert str(address_of(number_of(ip_address(text)))) == text
