# SPDX-License-Identifier: Apache-2.0
"""The kinds of resources, as they are written on the command line."""

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

KINDS = ("Gateway", "Dns64")  # in the order in which people read them

_SPELLINGS = {spelling: kind for kind in KINDS for spelling in (kind.lower(), f"{kind.lower()}s")}


if TYPE_CHECKING:
    _ParamType = click.ParamType[str]
else:  # click before 8.4 has no types here
    _ParamType = click.ParamType


class KindType(_ParamType):
    """A kind in any case, singular or plural; the value is its name in resources."""

    name = "kind"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        kind = _SPELLINGS.get(str(value).lower())
        if kind is None:
            from difflib import get_close_matches

            near = get_close_matches(str(value).lower(), [one.lower() for one in KINDS], n=1)
            known = ", ".join(one.lower() for one in KINDS)
            hint = f"did you mean {near[0]}?" if near else f"known: {known}"
            self.fail(f"unknown kind {value}, {hint}", param, ctx)
        return kind

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem]":
        from click.shell_completion import CompletionItem

        return [
            CompletionItem(kind.lower())
            for kind in KINDS
            if kind.lower().startswith(incomplete.lower())
        ]
