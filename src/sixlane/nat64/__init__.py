# SPDX-License-Identifier: Apache-2.0
"""The NAT46/NAT64 gateway: from a Gateway resource to tables, devices and settings."""

from sixlane.nat64.apply import apply_gateway
from sixlane.nat64.observe import Observed, observe_gateway
from sixlane.nat64.originals import Originals, restore_originals
from sixlane.nat64.plan import Plan, plan_gateway
from sixlane.nat64.slowpath import namespace_name, remove_slow_path
from sixlane.nat64.status import gateway_status

__all__ = [
    "Observed",
    "Originals",
    "Plan",
    "apply_gateway",
    "gateway_status",
    "namespace_name",
    "observe_gateway",
    "plan_gateway",
    "remove_slow_path",
    "restore_originals",
]
