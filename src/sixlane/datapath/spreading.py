# SPDX-License-Identifier: Apache-2.0
"""The hash by which the data path finds addresses, as addr.h has it. Words are of 64 bits."""

HIGH_FACTOR = 0xC2B2AE3D27D4EB4F
FACTOR = 0x9E3779B97F4A7C15
_WORD = (1 << 64) - 1


def both_halves(high: int, low: int) -> int:
    """addr_both(); it may be longer than a word."""
    return low + high * HIGH_FACTOR


def spread(number: int) -> int:
    return number * FACTOR & _WORD
