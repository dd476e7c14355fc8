# SPDX-License-Identifier: Apache-2.0
"""Server-sent events, line by line (HTML standard, section 9.2.6)."""

import json
from typing import Any, NamedTuple

from sixlane.client.errors import Problem


class Message(NamedTuple):
    """One event. `last_id`: the last id that the stream told, with this event or before it."""

    name: str
    data: Any
    last_id: str


class Assembler:
    """Makes messages of lines, as they come."""

    def __init__(self) -> None:
        self._last_id = ""
        self._name = ""
        self._data: list[str] = []

    def add(self, line: str) -> Message | None:
        """A line with or without its end; the message that it completes."""
        line = line.rstrip("\r\n")
        if not line:
            return self._complete()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        elif field == "id":
            self._last_id = value
        return None

    def _complete(self) -> Message | None:
        name, data = self._name, self._data
        self._name, self._data = "", []
        if not data:
            return None
        try:
            return Message(name, json.loads("\n".join(data)), self._last_id)
        except ValueError:
            raise Problem(500, "the agent sent an event that is not JSON") from None
