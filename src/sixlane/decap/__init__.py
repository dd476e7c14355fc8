# SPDX-License-Identifier: Apache-2.0
"""A backend whose answers go straight back: tunnels of gateways end here, the VIPs are on lo.

No agent has to do with it: a command sets it up, and what it pins stays.
"""

from sixlane.decap.apply import down, up
from sixlane.decap.status import Status, status
from sixlane.decap.wanted import read_wanted

__all__ = ["Status", "down", "read_wanted", "status", "up"]
