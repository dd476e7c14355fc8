# SPDX-License-Identifier: Apache-2.0
"""The routes that go before the translator, asked for as seldom as it can be.

Routes may be a million: all of them are looked at when the Gateway comes to translate something
else, and when the kernel tells of one that lies inside of what it translates. A device that goes
down, an address or a policy rule may take routes away or bring them without such a word.
"""

import logging
import threading
from collections.abc import Set

from sixlane.agent.log import fields
from sixlane.agent.pace import Pace
from sixlane.errors import SixlaneError
from sixlane.model import Gateway
from sixlane.nat64 import Network, Reach, native_routes

_log = logging.getLogger("sixlane.gateway")
_REST, _LEAST_S = 20.0, 0.5  # a route that flaps is followed twice a second
_MAY_CHANGE = {"native", "link", "address", "rule"}


class Natives:
    """May be used by any thread. It must hear of all changes since it was made."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._reach = Reach()
        self._found: tuple[Network, ...] = ()
        self._old = False
        self._pace = Pace(_REST, _LEAST_S)

    def is_meant(self, message: bytes) -> bool:
        """Whether a route, as the kernel tells of it, lies inside of what is translated."""
        return self._reach.has_route(message)

    def heard(self, kinds: Set[str]) -> None:
        """What has changed, as `net.monitor` names it."""
        if kinds & _MAY_CHANGE:
            with self._lock:
                self._old = True

    def of(self, gateway: Gateway | None) -> tuple[Network, ...]:
        """As far as is known. What cannot be looked at now stays as it was, and is asked again."""
        with self._looking:
            if Reach.digest_of(gateway) != self._reach.digest:
                self._reach = Reach.of(gateway)  # before the look: what changes then is heard of
                self._pace = Pace(_REST, _LEAST_S)
                self.heard({"native"})
            with self._lock:
                looks = self._old and not self._pace.left()
                self._old = self._old and not looks
            if looks:
                self._look()
            return self._found

    def _look(self) -> None:
        try:
            with self._pace.work():
                self._found = native_routes(self._reach)
        except SixlaneError as error:
            _log.warning("cannot look for native routes", extra=fields(error=error))
            with self._lock:
                self._old = True
