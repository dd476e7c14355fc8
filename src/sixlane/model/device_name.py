# SPDX-License-Identifier: Apache-2.0
"""What the kernel takes as the name of a network device."""

from typing import Annotated

from pydantic import AfterValidator, Field

from sixlane.model.problem import shown, wrong

LONGEST = 15


def _check(name: str) -> str:
    if not 0 < len(name.encode()) <= LONGEST:
        raise wrong(
            f"{shown(name)} is not the name of a device",
            f"1 to {LONGEST} bytes, as in `ip link`",
        )
    if name in (".", "..") or any(c in "/:" or c.isspace() or not c.isprintable() for c in name):
        raise wrong(f"{shown(name)} is not the name of a device", "see `ip link`")
    return name


DeviceName = Annotated[
    str,
    AfterValidator(_check),
    Field(
        description="As in `ip link`; at most 15 bytes.",
        examples=["eth0"],
        json_schema_extra={"minLength": 1, "maxLength": LONGEST},
    ),
]
