# SPDX-License-Identifier: Apache-2.0
"""What comes in to be applied, and what went out of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from sixlane.model import AnyResource, Key

Outcome = Literal["created", "changed", "unchanged", "deleted"]
View = dict[str, Any]


@dataclass(frozen=True)
class Edit:
    """A change to one resource, made of what is desired when its turn comes.

    `change`: pure, from what is desired now to what shall be; None: nothing. Raises `SixlaneError`
    if it cannot be made. `expected`: the resourceVersion that must be present; "": the resource
    must not be; None: whatever there is.
    """

    key: Key
    change: Callable[[AnyResource | None], AnyResource | None]
    expected: str | None = None


@dataclass(frozen=True)
class Transaction:
    """All of it is in force afterwards, or nothing of it.

    Edits of one resource are made one after the other. `prune`: whatever no edit names is deleted.
    """

    edits: Sequence[Edit]
    prune: bool = False


@dataclass(frozen=True)
class Applied:
    """`revision`: of the whole; it grows when something changes. `changes`: one line each.

    `versions`: generation and resourceVersion of each resource that was named and is there.
    """

    revision: int
    outcomes: dict[Key, Outcome]
    changes: list[str]
    dry_run: bool = False
    versions: dict[Key, tuple[int, str]] = field(default_factory=dict)
    make_views: Callable[[], dict[Key, View | None]] = field(default=dict, repr=False)

    @cached_property
    def views(self) -> dict[Key, View | None]:
        """Each resource that was named, as it is afterwards; None: it is not."""
        return self.make_views()
