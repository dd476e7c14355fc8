# SPDX-License-Identifier: Apache-2.0
"""One data plane for IPv6-only clusters with IPv4 at the edge."""

__version__ = "0.1.0"
