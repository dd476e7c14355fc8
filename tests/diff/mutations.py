# SPDX-License-Identifier: Apache-2.0
"""Changes that make a packet hostile: cut off, flipped, or with lengths that lie."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sixlane.rfc.checksum import checksum


def put(message: bytes, at: int, field: int) -> bytes:
    """Return `message` with a 16-bit field at `at`."""
    return message[:at] + field.to_bytes(2) + message[at + 2 :]


@dataclass(frozen=True)
class Mutation:
    """One change to a packet. `place` and `value` mean what `kind` makes of them."""

    kind: str
    place: int
    value: int

    def apply(self, packet: bytes) -> bytes:
        """Return the changed packet."""
        return _MUTATIONS[self.kind](packet, self.place, self.value)


def _truncate(packet: bytes, place: int, _: int) -> bytes:
    return packet[: place % (len(packet) + 1)]


def _pad(packet: bytes, place: int, value: int) -> bytes:
    return packet + bytes((value & 0xFF,)) * (place % 64)


def _flip(packet: bytes, place: int, value: int) -> bytes:
    if not packet:
        return packet
    changed = bytearray(packet)
    changed[place % len(packet)] ^= 1 << value % 8
    return bytes(changed)


def _flip_header(packet: bytes, place: int, value: int) -> bytes:
    """Flip a bit of the first headers, where most decisions are taken, and mend the checksum."""
    return _mend(_flip(packet[:96], place, value) + packet[96:])


def _set_byte(packet: bytes, place: int, value: int) -> bytes:
    if not packet:
        return packet
    at = place % min(len(packet), 96)
    return _mend(packet[:at] + bytes((value & 0xFF,)) + packet[at + 1 :])


def _set_length(packet: bytes, place: int, value: int) -> bytes:
    """Let the IP length lie: by a little, by anything, or by being far too small."""
    at = 2 if packet[:1] < b"\x60" else 4
    if len(packet) < at + 2:
        return packet
    length = int.from_bytes(packet[at : at + 2])
    lies = (length + value % 17 - 8, value, value % 64)
    return _mend(put(packet, at, lies[place % 3] & 0xFFFF))


def _mend(packet: bytes) -> bytes:
    """Make the IPv4 header checksum right again, where there is a header."""
    header_bytes = (packet[0] & 15) * 4 if packet else 0
    if packet[:1] >= b"\x60" or not 20 <= header_bytes <= len(packet):
        return packet
    header = put(packet[:header_bytes], 10, 0)
    return put(packet, 10, checksum(header))


_MUTATIONS: dict[str, Callable[[bytes, int, int], bytes]] = {
    "pad": _pad,
    "truncate": _truncate,
    "flip": _flip,
    "flip header": _flip_header,
    "set byte": _set_byte,
    "set length": _set_length,
}
KINDS = list(_MUTATIONS)


def mutate(packet: bytes, mutations: Sequence[Mutation]) -> bytes:
    """Return `packet` after all `mutations`, in their order."""
    for mutation in mutations:
        packet = mutation.apply(packet)
    return packet
