# SPDX-License-Identifier: Apache-2.0
"""DNS64 by BIND's named: configured, started, watched and reloaded here.

One named for each `Dns64` resource. It outlives the agent; whoever comes next finds it by the
configuration file on its command line, and knows what it has in force by the server id that it
answers queries with.
"""

from sixlane.dns64.apply import apply_dns64, check_dns64
from sixlane.dns64.conf import listeners
from sixlane.dns64.observe import observe_dns64
from sixlane.dns64.place import Place
from sixlane.dns64.plan import Observed, Plan, plan_dns64
from sixlane.dns64.status import dns64_status
from sixlane.dns64.supervisor import Direct, Supervisor, Units
from sixlane.dns64.watch import Watcher
from sixlane.dns64.wedge import Asking, Wedged

__all__ = [
    "Asking",
    "Direct",
    "Observed",
    "Place",
    "Plan",
    "Supervisor",
    "Units",
    "Watcher",
    "Wedged",
    "apply_dns64",
    "check_dns64",
    "dns64_status",
    "listeners",
    "observe_dns64",
    "plan_dns64",
]
