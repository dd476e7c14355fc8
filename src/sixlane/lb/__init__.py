# SPDX-License-Identifier: Apache-2.0
"""The load balancer: services, who answers, and who is chosen."""

from sixlane.lb.apply import Balancer
from sixlane.lb.plan import Plan, Settings, Wanted, plan_services, room_for
from sixlane.lb.status import BackendUse, FrontendUse, ServiceUse, Standing, standing_of, use_of

__all__ = [
    "BackendUse",
    "Balancer",
    "FrontendUse",
    "Plan",
    "ServiceUse",
    "Settings",
    "Standing",
    "Wanted",
    "plan_services",
    "room_for",
    "standing_of",
    "use_of",
]
