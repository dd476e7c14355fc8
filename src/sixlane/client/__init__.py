# SPDX-License-Identifier: Apache-2.0
"""A client for the agent's API: `Client` waits for answers.

Results are plain dicts; `sixlane.client.types` has their shapes.
"""

from sixlane.client.calls import ABSENT, SOCKET
from sixlane.client.client import Client
from sixlane.client.errors import Conflict, NotFound, Problem, Unreachable

__all__ = ["ABSENT", "SOCKET", "Client", "Conflict", "NotFound", "Problem", "Unreachable"]
