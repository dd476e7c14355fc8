# SPDX-License-Identifier: Apache-2.0
"""How a resource does, as conditions in the manner of Kubernetes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

Truth = Literal["True", "False", "Unknown"]

READY = "Ready"


@dataclass(frozen=True)
class Condition:
    """One thing that a part found. `reason`: a word in CamelCase; `message`: for people, without
    anything that changes from look to look. `needed`: the resource is not ready without it.
    """

    type: str
    status: Truth
    reason: str
    message: str = ""
    needed: bool = True


@dataclass(frozen=True)
class Dated:
    """A condition, the time since which its status is so (seconds since 1970), and the generation
    of the resource that it was found for.
    """

    condition: Condition
    since_s: float
    observed_generation: int

    def as_data(self) -> dict[str, Any]:
        return {
            "type": self.condition.type,
            "status": self.condition.status,
            "reason": self.condition.reason,
            "message": self.condition.message,
            "lastTransitionTime": rfc3339(self.since_s),
            "observedGeneration": self.observed_generation,
        }


@dataclass(frozen=True)
class Standing:
    """How one resource does. `observed_generation`: the last one that was in force; 0: none."""

    observed_generation: int = 0
    conditions: tuple[Dated, ...] = ()

    @property
    def ready(self) -> bool:
        return any(
            one.condition.type == READY and one.condition.status == "True"
            for one in self.conditions
        )

    def as_data(self) -> dict[str, Any]:
        return {
            "observedGeneration": self.observed_generation,
            "conditions": [one.as_data() for one in self.conditions],
        }


UNKNOWN = Standing()


def readiness(
    found: Sequence[Condition], generation: int, observed_generation: int, problem: str | None
) -> Condition:
    """`Ready`: the present generation is in force, and nothing is missing that it needs.

    `problem`: why it could not be put in force.
    """
    if problem is not None:
        return Condition(READY, "False", "NotInForce", problem)
    if observed_generation != generation:
        return Condition(READY, "False", "Pending", "it is about to be put in force")
    for status in ("False", "Unknown"):
        for one in found:
            if one.needed and one.status == status:
                return Condition(READY, one.status, one.reason, one.message)
    return Condition(READY, "True", "InForce")


def dated(
    before: Standing, found: Sequence[Condition], observed_generation: int, now_s: float
) -> Standing:
    """What was found, each with the time since which it is so; the same object if nothing moved."""
    known = {one.condition.type: one for one in before.conditions}
    conditions = []
    for condition in found:
        old = known.get(condition.type)
        since_s = old.since_s if old and old.condition.status == condition.status else now_s
        conditions.append(Dated(condition, since_s, observed_generation))
    standing = Standing(observed_generation, tuple(conditions))
    return before if standing == before else standing


def rfc3339(time_s: float) -> str:
    """2026-11-22T20:07:00Z, for seconds since 1970."""
    return datetime.fromtimestamp(int(time_s), UTC).isoformat().replace("+00:00", "Z")
