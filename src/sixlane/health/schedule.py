# SPDX-License-Identifier: Apache-2.0
"""When a check is due: at the same moment of each interval, which its name decides. Pure.

So thousands are spread over their intervals, also when all of them begin at once.
"""

from hashlib import blake2b

FIRST_WITHIN_S = 2.0


def share_of(id: str) -> float:
    """From 0 to below 1, alike wherever it is asked."""
    return int.from_bytes(blake2b(id.encode(), digest_size=6).digest()) / 2**48


def due_behind(now: float, share: float, interval_s: float) -> float:
    """The next time behind `now`, in seconds of the same clock."""
    left = (share * interval_s - now) % interval_s
    return now + (left or interval_s)


def first_due(now: float, share: float, interval_s: float) -> float:
    """Of one of which nothing is known: nobody waits for a long interval to go by."""
    return now + share * min(interval_s, FIRST_WITHIN_S)
