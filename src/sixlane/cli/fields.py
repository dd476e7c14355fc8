# SPDX-License-Identifier: Apache-2.0
"""Values of options as fields of resources."""

from collections.abc import Callable, Sequence
from typing import Any

import click

API_VERSION = "sixlane.dev/v1alpha1"  # as sixlane.model has it, which takes too long to import
DEFAULT = "default"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def or_default(text: str, read: Callable[[str], Any]) -> Any:
    """None, which takes the field away, for `default`; else the text as `read` reads it.

    What cannot be read goes on as text: the agent says what is wrong with it.
    """
    if text == DEFAULT:
        return None
    try:
        return read(text)
    except ValueError:
        return text


def ranges(texts: Sequence[str], **words: Any) -> Any:
    """The list of texts; or what one of `words` stands for, if it stands alone."""
    if len(texts) == 1 and texts[0] in words:
        return words[texts[0]]
    return list(texts)


def seconds(text: str) -> float:
    """90, 90s, 5m, 2h or 1d. ValueError: it is none of these."""
    number, unit = (text[:-1], text[-1:]) if text[-1:] in _UNITS else (text, "s")
    if not number.isascii() or not number.isdigit():
        raise ValueError(text)
    return float(int(number) * _UNITS[unit])


def given(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields. Raises a usage error if there are none."""
    if not fields:
        raise click.UsageError("nothing to change: give at least one option")
    return fields
