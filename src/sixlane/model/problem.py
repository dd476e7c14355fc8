# SPDX-License-Identifier: Apache-2.0
"""How a wrong resource is told: what, where, how to mend."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from sixlane.errors import ConfigError

Step = str | int
Path = tuple[Step, ...]


class ResourceError(ConfigError):
    """Something is wrong in a resource.

    `what`: one clause. `path`: keys and indices that lead to the value, from the resource's top.
    `hint`: how to mend it, or "". `where`: what the reader of the resources calls the place of
    this one ("edge.yaml:2"), or "". `index`: the resource's place in the list that was parsed;
    None: it is not about one of them.
    """

    def __init__(
        self,
        what: str,
        path: Path = (),
        hint: str = "",
        *,
        where: str = "",
        index: int | None = None,
    ) -> None:
        place = ":".join(part for part in (where, path_text(path)) if part)
        super().__init__(f"{what}: {place}" if place else what, hint)
        self.what = what
        self.path = path
        self.where = where
        self.index = index

    def at(self, where: str, index: int) -> "ResourceError":
        """The same error, placed in a list of resources."""
        return ResourceError(self.what, self.path, self.hint, where=where, index=index)


def path_text(path: Sequence[Step]) -> str:
    """("spec", "prefixes", 0, "prefix") as `spec.prefixes[0].prefix`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def wrong(what: str, hint: str = "", path: Path = ()) -> PydanticCustomError:
    """What a validator raises; `path` leads on from the value that it checks."""
    return PydanticCustomError("sixlane", "{what}", {"what": what, "hint": hint, "path": path})


def refuse_twice(names: Iterable[str], key: str, what: str) -> None:
    """Whether no two items of the list `key` have one name. `what`: what it is called."""
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        if name in first:
            raise wrong(
                f"{what} {name} stands twice",
                f"already in {key}[{first[name]}]",
                (key, index, "name"),
            )
        first[name] = index


def likely(word: object, known: Iterable[str]) -> str:
    """A hint for a word that is none of `known`: the one probably meant, or all of them."""
    known = sorted(known)
    if isinstance(word, str):
        by_lower = {name.lower(): name for name in known}
        near = difflib.get_close_matches(word.lower(), by_lower, n=1)
        if near:
            return f"did you mean {by_lower[near[0]]}?"
    return "known: " + ", ".join(known)


def from_pydantic(error: ValidationError) -> ResourceError:
    """The first problem, in the order of the resource; the number of the others is in the hint."""
    details = _causes(error.errors(include_url=False))
    first = details[0]
    path: Path = tuple(first["loc"])
    if first["type"] == "sixlane":
        context = first["ctx"]
        what, hint, path = context["what"], context["hint"], path + tuple(context["path"])
    else:
        what, hint = _translate(first, path)
    if first["type"] == "missing":
        path = path[:-1]
    if len(details) > 1:
        others = f"and {len(details) - 1} more after this one"
        hint = f"{hint}; {others}" if hint else others
    return ResourceError(what, path, hint)


def _causes(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without those that only follow: pydantic counts an item that is wrong as absent."""
    places = [detail["loc"] for detail in details]
    return [
        detail
        for detail in details
        if detail["type"] != "too_short"
        or not any(
            place != detail["loc"] and place[: len(detail["loc"])] == detail["loc"]
            for place in places
        )
    ]


_WANTED = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def _translate(detail: ErrorDetails, path: Path) -> tuple[str, str]:
    """What pydantic found by itself, in our words: what and hint."""
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    match kind:
        case "missing":
            return f"{path[-1]} is missing", ""
        case "greater_than_equal":
            return f"{value} is too small", f"at least {context['ge']}"
        case "less_than_equal":
            return f"{value} is too large", f"at most {context['le']}"
        case "too_short":
            return "the list is too short", f"at least {context['min_length']}"
        case "too_long":
            return (
                f"the list has {context['actual_length']} entries",
                f"at most {context['max_length']}",
            )
        case "literal_error":
            choices = context["expected"].replace("'", "").replace(" or ", ", ")
            return f"{shown(value)} is not known here", likely(value, choices.split(", "))
    if kind in _WANTED:
        return f"{shown(value)} is not {_WANTED[kind]}", _unit_hint(kind, value)
    return f"{shown(value)}: {detail['msg']}", ""


def _unit_hint(kind: str, value: Any) -> str:
    if kind == "int_type" and isinstance(value, str):
        return "write the number alone, without quotes or unit"
    if kind == "bool_type" and isinstance(value, str):
        return "YAML 1.2 knows only true and false, without quotes"
    if kind in ("list_type", "tuple_type") and isinstance(value, str):
        return f"write [{value}]"
    return ""


_LONGEST_SHOWN = 60


def shown(value: object) -> str:
    """A value as a message shows it: short, and on one line."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
    if len(text) > _LONGEST_SHOWN:
        text = text[: _LONGEST_SHOWN - 3] + "..."
    return text if text else '""'
