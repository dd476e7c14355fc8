# SPDX-License-Identifier: Apache-2.0
"""The NAT46/NAT64 gateway: from a Gateway resource to tables, devices and settings."""

from sixlane.datapath.pins import namespace_name
from sixlane.nat64.announce import NOT_ANNOUNCED, Outcome, withdraw
from sixlane.nat64.announced import observe_announced
from sixlane.nat64.apply import Done, apply_gateway
from sixlane.nat64.asked import Ask, asks_of_pools, asks_of_services
from sixlane.nat64.devices import Chosen, Trouble, Use, choose_devices
from sixlane.nat64.native import Network, Reach, native_routes
from sixlane.nat64.observe import Observed, observe_gateway
from sixlane.nat64.originals import Originals, bindings, restore_originals
from sixlane.nat64.overdue import port_unreachable, probe_segment
from sixlane.nat64.plan import Beside, Plan, plan_gateway, plan_segments
from sixlane.nat64.pools import room_for
from sixlane.nat64.slowpath import remove_slow_path
from sixlane.nat64.status import device_troubles, gateway_status, unsettled_troubles
from sixlane.nat64.tables import prefix_ids
from sixlane.nat64.trace import attached_one, trace

__all__ = [
    "NOT_ANNOUNCED",
    "Ask",
    "Beside",
    "Chosen",
    "Done",
    "Network",
    "Observed",
    "Originals",
    "Outcome",
    "Plan",
    "Reach",
    "Trouble",
    "Use",
    "apply_gateway",
    "asks_of_pools",
    "asks_of_services",
    "attached_one",
    "bindings",
    "choose_devices",
    "device_troubles",
    "gateway_status",
    "namespace_name",
    "native_routes",
    "observe_announced",
    "observe_gateway",
    "plan_gateway",
    "plan_segments",
    "port_unreachable",
    "prefix_ids",
    "probe_segment",
    "remove_slow_path",
    "restore_originals",
    "room_for",
    "trace",
    "unsettled_troubles",
    "withdraw",
]
