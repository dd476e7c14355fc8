# SPDX-License-Identifier: Apache-2.0
"""The kinds of resources, as they are written on the command line."""

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

KINDS = ("Gateway", "Dns64", "Service", "Network")  # in the order in which people read them

_NAME_BY_KIND = "sixlane.cli.kinds.name"

_SPELLINGS = {spelling: kind for kind in KINDS for spelling in (kind.lower(), f"{kind.lower()}s")}


if TYPE_CHECKING:
    _ParamType = click.ParamType[str]
else:  # click before 8.4 has no types here
    _ParamType = click.ParamType


class KindType(_ParamType):
    """A kind in any case, singular or plural; the value is its name in resources.

    KIND/NAME, as kubectl has it, is both; `NameArgument` then takes the name from there.
    """

    name = "kind"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        word, _, name = str(value).partition("/")
        kind = _SPELLINGS.get(word.lower())
        if kind is None:
            from difflib import get_close_matches

            near = get_close_matches(word.lower(), [one.lower() for one in KINDS], n=1)
            known = ", ".join(one.lower() for one in KINDS)
            hint = f"did you mean {near[0]}?" if near else f"known: {known}"
            self.fail(f"unknown kind {word}, {hint}", param, ctx)
        if name and ctx is not None:
            ctx.meta[_NAME_BY_KIND] = name
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


class NameArgument(click.Argument):
    """The name behind a kind, or the one that stands in KIND/NAME."""

    def consume_value(self, ctx: click.Context, opts: Any) -> Any:
        value, source = super().consume_value(ctx, opts)
        name = ctx.meta.get(_NAME_BY_KIND)
        if name is None:
            return value, source
        given = opts.get(self.name)
        if isinstance(given, str | tuple) and given:  # click has a word of its own for nothing
            raise click.UsageError("give either KIND/NAME, or KIND and NAME", ctx)
        return (name,) if self.nargs == -1 else name, source
