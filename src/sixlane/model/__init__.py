# SPDX-License-Identifier: Apache-2.0
"""What a user may ask for: the kinds of resources, and the checks that each one passes by itself.

`parse_resources` is the way in: plain data (from YAML or JSON) in, typed and immutable resources
out, or one `ResourceError` that says what is wrong, where, and how to mend it. Nothing here looks
at the machine: whether a device exists is for the planner.
"""

from sixlane.model.backends import Backend, BackendList
from sixlane.model.dns64 import Dns64, Dns64Prefix
from sixlane.model.eam import Eam, EamList
from sixlane.model.frontends import Frontend, FrontendList
from sixlane.model.gateway import Device, Gateway, Prefix
from sixlane.model.health import HealthCheck
from sixlane.model.load_balancer import LoadBalancer
from sixlane.model.network import Network, PodPool, StatelessEgress, node_address
from sixlane.model.parse import KINDS, AnyResource, parse_resource, parse_resources
from sixlane.model.pool4 import Pool4, Sessions
from sixlane.model.problem import ResourceError
from sixlane.model.ranges import RangeList, Spans
from sixlane.model.resource import API_VERSION, Key, Resource
from sixlane.model.service import Service
from sixlane.model.together import check_together, is_alone

__all__ = [
    "API_VERSION",
    "KINDS",
    "AnyResource",
    "Backend",
    "BackendList",
    "Device",
    "Dns64",
    "Dns64Prefix",
    "Eam",
    "EamList",
    "Frontend",
    "FrontendList",
    "Gateway",
    "HealthCheck",
    "Key",
    "LoadBalancer",
    "Network",
    "PodPool",
    "Pool4",
    "Prefix",
    "RangeList",
    "Resource",
    "ResourceError",
    "Service",
    "Sessions",
    "Spans",
    "StatelessEgress",
    "check_together",
    "is_alone",
    "node_address",
    "parse_resource",
    "parse_resources",
]
