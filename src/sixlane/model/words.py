# SPDX-License-Identifier: Apache-2.0
"""Fields that take a number, or one word in its place."""

from typing import Any

from pydantic import PlainValidator, WithJsonSchema

from sixlane.model.problem import shown, wrong


def number_or(word: str, least: int, most: int, *, or_null: bool = False) -> tuple[Any, ...]:
    """What makes `Annotated[int | Literal[word], ...]` check itself: one error, at its place."""

    def read(value: object) -> object:
        if value == word or (value is None and or_null):
            return value
        if not isinstance(value, int) or isinstance(value, bool):
            raise wrong(f"{shown(value)} is neither a number nor {word}", f"{least} to {most}")
        if value < least:
            raise wrong(f"{value} is too small", f"at least {least}")
        if value > most:
            raise wrong(f"{value} is too large", f"at most {most}")
        return value

    schema = [{"type": "integer", "minimum": least, "maximum": most}, {"const": word}]
    if or_null:
        schema.append({"type": "null"})
    return PlainValidator(read), WithJsonSchema({"anyOf": schema})
