# SPDX-License-Identifier: Apache-2.0
"""Protocol numbers (IANA "Assigned Internet Protocol Numbers") that translation looks at."""

from typing import Final

HOP_BY_HOP: Final = 0
ICMPV4: Final = 1
IGMP: Final = 2
TCP: Final = 6
UDP: Final = 17
ROUTING: Final = 43
FRAGMENT: Final = 44
AUTHENTICATION: Final = 51
ICMPV6: Final = 58
DESTINATION_OPTIONS: Final = 60
