# SPDX-License-Identifier: Apache-2.0
"""Which packets of pods go past the host's stack, and which do not, so that they are as they would
be without us.

The data path asks the kernel for the way out with all that policy rules look at, but for marks:
those are put on by the host's firewall, which what is redirected never meets.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sixlane.agent.firewall import obstacles
from sixlane.agent.pod_trouble import BY_THE_STACK, PAST_FIREWALL, Trouble
from sixlane.datapath.pods import By
from sixlane.model import Network
from sixlane.net.policy import PROTOCOL, Rule, policy_rules


@dataclass(frozen=True)
class Way:
    """`by`: what goes by the stack; `why`: if nobody asked for that, else empty. `past`: of the
    host's firewall, what redirects go past without anybody having asked for that."""

    by: By
    why: str = ""
    past: tuple[str, ...] = ()

    def troubles(self) -> list[Trouble]:
        """What an operator has to know, and to decide: by another `redirect` than `auto`."""
        told = [Trouble(BY_THE_STACK, self.why)] if self.why else []
        if self.past:
            what = f"pods' packets go past the host's firewall ({', '.join(self.past)})"
            hint = "redirect: never, if it is meant for them, else always"
            told.append(Trouble(PAST_FIREWALL, f"{what}: {hint}"))
        return told

    def summary(self) -> str:
        if self.by == By.REDIRECTS:
            return "let packets of pods go past the host's stack"
        if self.by == By.STACK:
            return "let packets of pods go by the host's stack"
        return "let packets of pods that leave the node go by the host's stack"


def way_of(network: Network) -> Way:
    """Looks at the node's policy rules and firewall, if the Network leaves it to them."""
    if network.spec.redirect == "auto":
        past = tuple(sorted(one.where for one in obstacles()))
        return replace(way_beside(policy_rules()), past=past)
    return Way(By.STACK if network.spec.redirect == "never" else By.REDIRECTS)


def way_beside(rules: Iterable[Rule]) -> Way:
    for rule in rules:
        if rule.mark is not None and rule.protocol != PROTOCOL:
            what = f"policy rule {rule.priority} (IPv{rule.version}) looks at marks"
            return Way(By.STACK_OUT, f"packets that leave the node go by the host's stack: {what}")
    return Way(By.REDIRECTS)
