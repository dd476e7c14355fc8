# SPDX-License-Identifier: Apache-2.0
"""What comes in to be applied, and what went out of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sixlane.model import AnyResource, Key

Outcome = Literal["created", "changed", "unchanged", "deleted"]


@dataclass(frozen=True)
class Transaction:
    """All of it is in force afterwards, or nothing of it."""

    put: Sequence[AnyResource] = ()
    delete: Sequence[Key] = ()


@dataclass(frozen=True)
class Applied:
    """`generation`: of the whole; it grows when a resource changes. `changes`: one line each."""

    generation: int
    outcomes: dict[Key, Outcome]
    changes: list[str]
    dry_run: bool = False
