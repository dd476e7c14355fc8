# SPDX-License-Identifier: Apache-2.0
"""What is not as it should be with a node's pods, though all else is done."""

from dataclasses import dataclass

BY_THE_STACK = "PolicyRules"
"""A reason: packets go by the host's stack, as policy rules would not hold else."""
PAST_FIREWALL = "PastFirewall"
"""A reason: packets do not meet chains that the host's firewall has."""


@dataclass(frozen=True)
class Trouble:
    """A condition's reason, and a message for people."""

    reason: str
    message: str
