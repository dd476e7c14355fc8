# SPDX-License-Identifier: Apache-2.0
"""Maglev's table: the paper's example, how even it is, and whom a change moves."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from ipaddress import IPv4Address, IPv6Address
from itertools import cycle, islice
from math import log, sqrt
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixlane.rfc.balance import least_moved, moved, shares
from sixlane.rfc.maglev import (
    SIZES,
    Member,
    in_turn,
    member_of,
    permutation,
    populate,
    smallest_size,
    table,
    turns,
)

# Table 1 of the paper, by columns: permutations of three backends, and the table with all of them
# and without B1.
B0, B1, B2 = [3, 0, 4, 1, 5, 2, 6], [0, 2, 4, 6, 1, 3, 5], [3, 4, 5, 6, 0, 1, 2]
BEFORE, AFTER = "1010220", "0000222"

PRIME = 1021


def group(weights: Sequence[int], first: int = 1) -> list[Member]:
    """Of as many members as there are weights."""
    addresses = (IPv6Address(f"2001:db8:64::{n:x}") for n in range(first, first + len(weights)))
    return [
        member_of(address, 8080, weight) for address, weight in zip(addresses, weights, strict=True)
    ]


def owners(members: Sequence[Member], size: int) -> list[bytes]:
    """The table by what outlives a change of the others."""
    return [members[position].key for position in table(members, size)]


def weights_of(members: Sequence[Member]) -> dict[bytes, int]:
    return {member.key: member.weight for member in members}


@pytest.mark.parametrize(
    ("permutations", "names", "expected"),
    [([B0, B1, B2], "012", BEFORE), ([B0, B2], "02", AFTER)],
)
def test_the_example_of_the_paper(permutations: list[list[int]], names: str, expected: str) -> None:
    for whose_turn in (cycle(range(len(names))), turns([1] * len(names))):
        found = populate(permutations, whose_turn, 7)
        assert "".join(names[owner] for owner in found) == expected


def test_whose_turn_it_is() -> None:
    """Credits by round, largest weight 3. Of weight 2: 2, 4 (turn, 1 left), 3 (turn, 0). Of weight
    1: 1, 2, 3 (turn, 0)."""
    rounds = [[0], [0, 1], [0, 1, 2]]
    expected = [turn for each in rounds for turn in each]
    assert list(islice(turns([3, 2, 1]), 12)) == expected * 2


@pytest.mark.parametrize(
    ("address", "canonical"),
    [
        (IPv4Address("192.0.2.33"), "00000000000000000000ffffc0000221"),
        (IPv6Address("2001:db8::7"), "20010db8000000000000000000000007"),
    ],
)
def test_offset_and_skip(address: IPv4Address | IPv6Address, canonical: str) -> None:
    """Gateways of all versions have to have the same."""
    key = bytes.fromhex(canonical + "1f90")
    digest = hashlib.blake2b(key, digest_size=24, person=b"sixlane.maglev").digest()
    offset = int.from_bytes(digest[:8], "big") % 65537
    skip = int.from_bytes(digest[8:16], "big") % 65536 + 1
    assert member_of(address, 8080).key == key
    assert permutation(member_of(address, 8080), 65537) == (offset, skip)


@given(st.binary(min_size=1, max_size=18), st.sampled_from([2, 3, 7, 251, 509, 1021]))
def test_each_permutation_has_all_entries(key: bytes, size: int) -> None:
    offset, skip = permutation(Member(key), size)
    assert 0 <= offset < size and 0 < skip < size
    assert {(offset + number * skip) % size for number in range(size)} == set(range(size))


def test_turns_in_a_round_go_by_weight_and_then_by_hash() -> None:
    members = group([1, 2, 0, 1, 2, 1])

    def third(position: int) -> bytes:
        key = members[position].key
        return hashlib.blake2b(key, digest_size=24, person=b"sixlane.maglev").digest()[16:]

    assert in_turn(members) == sorted([1, 4], key=third) + sorted([0, 3, 5], key=third)


@pytest.mark.parametrize("size", [-7, 0, 1, 4, 1001, 65535, 65536])
def test_sizes_that_are_not_prime(size: int) -> None:
    for asked in (lambda: table(group([1]), size), lambda: permutation(Member(b"a"), size)):
        with pytest.raises(ValueError, match=f"prime number of entries: {size} is none"):
            asked()


def test_the_size_for_a_number_of_members() -> None:
    for size in SIZES:
        assert all(size % divisor for divisor in range(2, size))
    assert [smallest_size(count) for count in (0, 1, 2, 3, 5, 6, 1000, 1310)] == [
        *(251, 251, 251, 509, 509, 1021, 131071, 131071),
    ]
    with pytest.raises(ValueError, match="1311 members: the largest table is for 1310"):
        smallest_size(1311)


def test_nobody() -> None:
    assert table([], PRIME) == table(group([0, 0]), PRIME) == []


def test_one_alone_has_all() -> None:
    assert table(group([7]), PRIME) == [0] * PRIME
    assert table(group([0, 7, 0]), PRIME) == [1] * PRIME


def test_what_is_no_member() -> None:
    with pytest.raises(ValueError, match="weight is -1"):
        Member(b"a", -1)
    with pytest.raises(ValueError, match="named twice"):
        table([*group([1, 1]), *group([3])], PRIME)
    with pytest.raises(ValueError, match="named twice"):
        table([*group([1, 1]), *group([0])], PRIME)


def test_an_address_and_another_port_is_another_member() -> None:
    address = IPv4Address("192.0.2.33")
    counts = Counter(table([member_of(address, 80), member_of(address, 81)], PRIME))
    assert sorted(counts.values()) == [510, 511]


_weights = st.lists(st.sampled_from([0, 1, 1, 2, 3, 7, 100, 999, 1000]), min_size=1, max_size=12)


@given(_weights, st.randoms(use_true_random=False), st.sampled_from([251, 509]))
def test_the_order_in_which_they_are_named_is_no_matter(
    weights: list[int], random: Random, size: int
) -> None:
    members = group(weights)
    mixed = random.sample(members, len(members))
    assert owners(members, size) == owners(mixed, size)


@given(_weights, st.sampled_from([251, 509]))
def test_whoever_has_no_weight_is_no_matter(weights: list[int], size: int) -> None:
    members = group(weights)
    assert owners(members, size) == owners([one for one in members if one.weight], size)


@given(_weights, st.integers(2, 9))
def test_only_ratios_of_weights_matter(weights: list[int], factor: int) -> None:
    multiples = [weight * factor for weight in weights]
    assert owners(group(weights), 251) == owners(group(multiples), 251)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 1000), min_size=1, max_size=30), st.sampled_from(SIZES[:5]))
def test_how_even_it_is(weights: list[int], size: int) -> None:
    check_shares(weights, size)


@pytest.mark.parametrize(
    ("weights", "size"),
    [
        ([1] * 10, 1021),
        ([5] * 100, 16381),
        ([1] * 1000, 65537),
        ([1, 1000], 131071),
        ([2, 1, 1], 509),
        ([3, 1], 251),
        ([1000] + [1] * 60, 8191),
        (list(range(1, 101)), 16381),
        ([1000] * 10 + [999] * 10, 2039),
    ],
)
def test_how_even_certain_ones_are(weights: list[int], size: int) -> None:
    check_shares(weights, size)


def check_shares(weights: Sequence[int], size: int) -> None:
    """After r rounds a member of weight w has had floor(r * w / W) turns, W the largest weight. In
    the last round, the r-th, some have not been asked: floor((r - 1) * w / W).

    What that is against the ideal x = size * w / S, with S the sum of the N weights above 0: all
    turns together are `size`. So size <= r * S / W, and size > (r - 1) * S / W - N, as each of N is
    rounded down by less than 1. By these two for r, turns lie above x - 1 - w / W, and below
    x * (1 + N / size) + w / W. With equal weights, nobody has more than 1 more than another.
    """
    members = group(weights)
    counts = Counter(table(members, size))
    heavy = [(position, weight) for position, weight in enumerate(weights) if weight]
    if not heavy:
        return
    largest, total = max(weights), sum(weights)
    assert sum(counts.values()) == size and set(counts) <= {position for position, _ in heavy}
    rounds = max(counts[position] for position, weight in heavy if weight == largest)
    for position, weight in heavy:
        turns_of = {number * weight // largest for number in (rounds - 1, rounds)}
        assert counts[position] in turns_of, (weight, counts[position])
        ideal = Fraction(size * weight, total)
        assert counts[position] > ideal - 1 - Fraction(weight, largest)
        above = ideal * (1 + Fraction(len(heavy), size)) + Fraction(weight, largest)
        assert counts[position] < above
    if len(set(weight for _, weight in heavy)) == 1:
        assert max(counts.values()) - min(counts[position] for position, _ in heavy) <= 1


def test_shares_differ_by_one_percent() -> None:
    """Of M > 100 * N entries the paper says so (3.4)."""
    for count in (2, 10, 40):
        found = shares(table(group([1] * count), smallest_size(count)))
        assert max(found.values()) / min(found.values()) < Fraction(101, 100)


_HUNDRED = [1] * 100
_MIXED = [1, 2, 3, 4] * 10
CHANGES: dict[str, tuple[list[int], list[int], int]] = {
    "one of 2 leaves": ([1] * 2, [1, 0], 251),
    "one of 10 leaves": ([1] * 10, [1] * 9, 1021),
    "one of 10 leaves a large table": ([1] * 10, [1] * 9, 65537),
    "one joins 10": ([1] * 10, [1] * 11, 2039),
    "one of 100 leaves": (_HUNDRED, [1] * 99, 16381),
    "one of 100 leaves a large table": (_HUNDRED, [1] * 99, 131071),
    "five of 100 leave": (_HUNDRED, [0] * 5 + [1] * 95, 16381),
    "half of 100 leave": (_HUNDRED, [0] * 50 + [1] * 50, 16381),
    "one of 1,000 leaves": ([1] * 1000, [1] * 999, 65537),
    "one joins 1,000": ([1] * 1000, [1] * 1001, 131071),
    "one of 10 has twice its weight": ([1] * 10, [2] + [1] * 9, 1021),
    "one of 10 has half its weight": ([2] * 10, [1] + [2] * 9, 1021),
    "one of 100 has twice its weight": (_HUNDRED, [2] + [1] * 99, 16381),
    "one of 100 has 1 % more": ([100] * 100, [101] + [100] * 99, 16381),
    "one of weight 2 leaves": (_MIXED, [1, 0, *_MIXED[2:]], 4093),
    "one of weight 3 has 4": (_MIXED, [1, 2, 4, *_MIXED[3:]], 4093),
    "another largest weight": (_MIXED, [*_MIXED[:-1], 5], 4093),
}


@pytest.mark.parametrize("change", list(CHANGES))
def test_whom_a_change_moves(change: str) -> None:
    """At least p of the entries change hands, which is what the weights say; at most, and as a
    mean over permutations drawn at random, p * ln(1 / p) / (1 - p).

    Both tables are filled by the same turns, but for those of the members that lose p of all; they
    would have taken entries at any time, evenly. Such an entry is a hole: it is taken once one of
    the others wants it, who leaves another one, the next hole, for which he had once taken another
    entry. When the part f of the table is full, (1 - f) * M entries are left for both, and p * f *
    M holes; so a turn meets a certain hole with the chance 1 / (M * (1 - f * (1 - p))). There are
    M * (1 - p) * df such turns, and from f = a up to 1 a hole wanders ln((1 - a * (1 - p)) / p)
    times: as a mean over a from 0 to 1, ln(1 / p) / (1 - p) - 1 times, each of which moves at most
    an entry. With the first owner's, that is the bound.

    Around it: p * M holes whose ways are Poisson's at most, and vary by 1 more with a.
    """
    old_weights, new_weights, size = CHANGES[change]
    before, after = group(old_weights), group(new_weights)
    is_moved = moved(owners(before, size), owners(after, size))
    least = float(least_moved(weights_of(before), weights_of(after)))
    mean = log(1 / least) / (1 - least)
    bound = least * mean + 4 * sqrt(least * size * (mean + 1)) / size
    print(f"{change}: {float(is_moved):.2%} of {size:,} moved, at least {least:.2%} have to be")
    assert is_moved <= bound
    assert is_moved >= least - rounding(before, size) - rounding(after, size)


def rounding(members: Sequence[Member], size: int) -> float:
    """How much less than the ideal anybody may have, for all of them, as in `check_shares`."""
    return 2 * len(members) / size


def test_the_measures() -> None:
    assert shares("abac") == {"a": Fraction(1, 2), "b": Fraction(1, 4), "c": Fraction(1, 4)}
    assert moved(BEFORE, AFTER) == Fraction(3, 7)  # entries 0 and 2 of B1, and 6
    assert moved("", "") == 0
    assert moved("", "ab") == moved("ab", "") == 1
    with pytest.raises(ValueError, match="tables of 3 and 2 entries"):
        moved("abc", "ab")
    equal = {"a": 1, "b": 1, "c": 2}
    assert least_moved(equal, {"a": 7, "b": 7, "c": 14}) == 0
    assert least_moved(equal, {"a": 1, "b": 1}) == Fraction(1, 2)
    assert least_moved({"a": 1, "b": 1}, equal) == Fraction(1, 2)
    # From 1/4, 1/4, 1/2 to 1/5, 2/5, 2/5: b wins 3/20, a loses 1/20 and c 1/10.
    assert least_moved(equal, {"a": 1, "b": 2, "c": 2}) == Fraction(3, 20)
    assert least_moved({}, equal) == least_moved(equal, {"a": 0}) == 1
    assert least_moved({}, {"a": 0}) == 0


def test_a_table_moves_as_little_as_anything_can_when_all_but_one_leave() -> None:
    members = group([1] * 10)
    before, after = owners(members, PRIME), owners(members[3:4], PRIME)
    kept = shares(before)[members[3].key]
    assert moved(before, after) == 1 - kept
