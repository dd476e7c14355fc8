# SPDX-License-Identifier: Apache-2.0
"""What a user may ask for: the kinds of resources, and the checks that each one passes by itself.

`parse_resources` is the way in: plain data (from YAML or JSON) in, typed and immutable resources
out, or one `ResourceError` that says what is wrong, where, and how to mend it. Nothing here looks
at the machine: whether a device exists is for the planner.
"""

from sixlane.model.dns64 import Dns64, Dns64Prefix
from sixlane.model.eam import Eam, EamList
from sixlane.model.gateway import Device, Gateway, Prefix
from sixlane.model.parse import KINDS, AnyResource, check_together, parse_resource, parse_resources
from sixlane.model.pool4 import Pool4, Sessions
from sixlane.model.problem import ResourceError
from sixlane.model.ranges import RangeList, Spans
from sixlane.model.resource import API_VERSION, Key, Resource

__all__ = [
    "API_VERSION",
    "KINDS",
    "AnyResource",
    "Device",
    "Dns64",
    "Dns64Prefix",
    "Eam",
    "EamList",
    "Gateway",
    "Key",
    "Pool4",
    "Prefix",
    "RangeList",
    "Resource",
    "ResourceError",
    "Sessions",
    "Spans",
    "check_together",
    "parse_resource",
    "parse_resources",
]
