# SPDX-License-Identifier: Apache-2.0
"""The tables of keys in docs/reference, made from the models.

`python -m sixlane.model.reference` writes them between their two marks; with `--check` it fails if
a page does not have them as the models do.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sixlane.model.parse import KINDS
from sixlane.model.resource import SchemaGenerator

DIRECTORY = Path("docs/reference")
_BEGIN = "<!-- keys: made by python -m sixlane.model.reference -->\n"
_END = "<!-- end of keys -->\n"
_OF_THE_AGENT = ("metadata.generation", "status")

Schema = dict[str, Any]


def table(kind: str) -> str:
    """Markdown: each key of a kind, what it takes, its default, what it means."""
    schema = KINDS[kind].model_json_schema(schema_generator=SchemaGenerator)
    lines = ["| key | value | default | |", "|---|---|---|---|"]
    lines += [
        f"| `{key}` | {_value(field)} | {_default(field, required)} | {_meaning(field)} |"
        for key, field, required in _keys(schema, schema["$defs"], "")
        if key not in _OF_THE_AGENT
    ]
    return "".join(f"{line}\n" for line in lines)


def page(kind: str, text: str) -> str:
    """A page with the table in its place. Raises ValueError if it has no marks."""
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"no marks for the keys of {kind}")
    return f"{before}{begin}{table(kind)}{end}{after}"


def _keys(schema: Schema, models: Schema, above: str) -> Iterator[tuple[str, Schema, bool]]:
    """Each key with its path, its schema, and whether it must be given; parts after wholes."""
    for name, field in schema["properties"].items():
        key, resolved = f"{above}{name}", _resolved(field, models)
        items = _resolved(resolved.get("items", {}), models)
        if "description" in items:
            resolved = {"description": items["description"], **resolved}
        if "properties" in resolved:
            part = _told_below(resolved) if above else resolved
            yield from _keys(part, models, f"{key}.")
            continue
        yield key, resolved, name in schema.get("required", ())
        if "properties" in items:
            yield from _keys(items, models, f"{name}[].")


def _told_below(schema: Schema) -> Schema:
    """A part whose keys that say nothing of themselves say what the part is."""
    told = {"description": schema["description"]} if "description" in schema else {}
    return {
        **schema,
        "properties": {name: told | field for name, field in schema["properties"].items()},
    }


def _resolved(field: Schema, models: Schema) -> Schema:
    """What `field` refers to, with what it says of it; of "this or null", this."""
    choices = [one for one in field.get("anyOf", ()) if one.get("type") != "null"]
    if len(choices) == 1:
        rest = {name: value for name, value in field.items() if name != "anyOf"}
        field = {**choices[0], **rest}
    if "$ref" not in field:
        return field
    return {**models[field["$ref"].rpartition("/")[2]], **field}


def _value(field: Schema) -> str:
    """Type and limits, in words."""
    if "anyOf" in field:
        choices = [one for one in field["anyOf"] if one.get("type") != "null"]
        return ", or ".join(map(_value, choices))
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join(f"`{one}`" for one in field["enum"])
    if field.get("type") == "array":
        few, many = field.get("minItems", 0), field.get("maxItems")
        limits = f", {few} to {many}" if many else f", at least {few}" if few else ""
        return f"list{limits}{_example(field.get('items', {}))}"
    if field.get("type") == "integer":
        return f"{field['minimum']:,} to {field['maximum']:,}"
    if field.get("type") == "boolean":
        return "`true`, `false`"
    longest = f", at most {field['maxLength']} long" if "maxLength" in field else ""
    return f"text{longest}{_example(field)}"


def _example(field: Schema) -> str:
    found = field.get("examples", ())
    return f", as `{found[0]}`" if found and isinstance(found[0], str) else ""


def _default(field: Schema, required: bool) -> str:
    if required:
        return "required"
    default = field.get("default")
    return "" if default is None else f"`{json.dumps(default)}`"


def _meaning(field: Schema) -> str:
    return str(field.get("description", "")).replace("|", "\\|").replace("\n", " ")


def main() -> None:
    """Write, or with `--check` compare."""
    outdated = []
    for kind in KINDS:
        path = DIRECTORY / f"{kind.lower()}.md"
        text = path.read_text()
        wanted = page(kind, text)
        if text != wanted:
            outdated.append(str(path))
            if "--check" not in sys.argv[1:]:
                path.write_text(wanted)
    if outdated and "--check" in sys.argv[1:]:
        sys.exit(f"not current: {', '.join(outdated)}; python -m sixlane.model.reference")


if __name__ == "__main__":
    main()
