# SPDX-License-Identifier: Apache-2.0
"""What a load on a network tells, a figure at a time."""

from dataclasses import dataclass
from typing import Literal, Protocol

from bench.rows import Row


class Compared(Protocol):
    """A variant of a network. `baseline` names the one that it is compared with."""

    @property
    def name(self) -> str: ...
    @property
    def baseline(self) -> str | None: ...


@dataclass(frozen=True)
class Figure:
    """One of the figures that a load gives; `name` is for people, `key` is its name in there."""

    key: str
    name: str
    unit: str
    better: Literal["higher", "lower"]
    baseline: str | None = None
    """The variant with which all others are compared in this; None: each has one."""

    def row(self, variant: Compared, values: tuple[float, ...]) -> Row:
        """A value a round."""
        baseline = self.baseline or variant.baseline
        compared = None if baseline in (None, variant.name) else f"{self.name}: {baseline}"
        return Row(f"{self.name}: {variant.name}", self.unit, self.better, compared, values)
