# SPDX-License-Identifier: Apache-2.0
"""What comes in to be applied, and what went out of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from sixlane.model import AnyResource, Key, ResourceError

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

    def placed(self, error: ResourceError) -> ResourceError:
        """The same with the index of the edit that it is about, if one names its resource.

        What is found only when all is looked at together, or on the machine, knows but the name.
        """
        if error.index is None:
            for index, edit in enumerate(self.edits):
                if str(edit.key) == error.where:
                    return error.at(error.where, index)
        return error


@dataclass(frozen=True)
class Applied:
    """`revision`: of the whole; it grows when something changes. `changes`: one line each.

    `versions`: generation and resourceVersion of each resource that was named and is there.
    `warnings`: what is allowed and may surprise in those or in what it takes, one line each.
    """

    revision: int
    outcomes: dict[Key, Outcome]
    changes: list[str]
    dry_run: bool = False
    versions: dict[Key, tuple[int, str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    make_views: Callable[[], dict[Key, View | None]] = field(default=dict, repr=False)

    @cached_property
    def views(self) -> dict[Key, View | None]:
        """Each resource that was named, as it is afterwards; None: it is not."""
        return self.make_views()
