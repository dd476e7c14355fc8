# SPDX-License-Identifier: Apache-2.0
"""Whether a next hop depends on more than the destination, asked as seldom as it can be.

Rules are few, and asked for when one has changed. Routes may be a million, and a routing daemon may
change thousands in a second: they are all looked at once, and then only to see whether the last one
that looks at more has gone. That one has come is told by the kernel's word of it.
"""

import threading
from collections.abc import Set

from sixlane.agent.pace import Pace
from sixlane.net import policy

_REST = 20.0
_HEARD = "a route has several next hops, or looks at more"


class Choice:
    """May be used by any thread. It must hear of all changes since it was made."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._rules: str | None = None
        self._routes: str | None = None
        self._old_rules = self._old_routes = True
        self._pace = Pace(_REST)

    def heard(self, kinds: Set[str]) -> None:
        """What has changed, as `net.monitor` names it."""
        with self._lock:
            if "rule" in kinds:
                self._old_rules = True
            if "multipath" in kinds and self._routes is None:
                self._routes = _HEARD
                self._old_routes = True
            elif self._routes is not None and "route" in kinds:
                self._old_routes = True

    def why(self) -> str | None:
        """Why it may depend on more; None: it does not."""
        with self._looking:
            with self._lock:
                rules, routes = self._old_rules, self._old_routes and not self._pace.left()
                self._old_rules = False
                self._old_routes = self._old_routes and not routes
            try:
                self._look(rules, routes)
            except BaseException:
                with self._lock:
                    self._old_rules |= rules
                    self._old_routes |= routes
                raise
            with self._lock:
                return self._rules or self._routes

    def _look(self, rules: bool, routes: bool) -> None:
        """Without the lock: whoever hears of changes must not wait."""
        if rules:
            self._rules = policy.rules_that_look_at_more()
        if routes:
            with self._pace.work():
                found = policy.routes_that_look_at_more()
            with self._lock:  # what was heard meanwhile may not have been seen
                self._routes = found or (_HEARD if self._old_routes else None)
