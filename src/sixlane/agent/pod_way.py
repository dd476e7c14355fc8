# SPDX-License-Identifier: Apache-2.0
"""Which packets of pods go past the host's stack, and which do not, so that they are as they would
be without us.

The data path asks the kernel for the way out with all that policy rules look at, but for marks:
those are put on by the host's firewall, which what is redirected never meets.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sixlane.datapath.pods import By
from sixlane.model import Network
from sixlane.net.policy import PROTOCOL, Rule, policy_rules


@dataclass(frozen=True)
class Way:
    """`by`: what goes by the stack; `why`: if nobody asked for that, else empty."""

    by: By
    why: str = ""

    def summary(self) -> str:
        if self.by == By.REDIRECTS:
            return "let packets of pods go past the host's stack"
        if self.by == By.STACK:
            return "let packets of pods go by the host's stack"
        return "let packets of pods that leave the node go by the host's stack"


def way_of(network: Network) -> Way:
    """Looks at the node's policy rules, if the Network leaves it to them."""
    if network.spec.redirect == "auto":
        return way_beside(policy_rules())
    return Way(By.STACK if network.spec.redirect == "never" else By.REDIRECTS)


def way_beside(rules: Iterable[Rule]) -> Way:
    for rule in rules:
        if rule.mark is not None and rule.protocol != PROTOCOL:
            what = f"policy rule {rule.priority} (IPv{rule.version}) looks at marks"
            return Way(By.STACK_OUT, f"packets that leave the node go by the host's stack: {what}")
    return Way(By.REDIRECTS)
