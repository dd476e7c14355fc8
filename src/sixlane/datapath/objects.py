# SPDX-License-Identifier: Apache-2.0
"""Where the compiled data path lies: in the installed package, or in the source tree.

Tests choose the objects of another compiler by SIXLANE_OBJECTS, a directory.
"""

import os
from pathlib import Path

from sixlane.errors import NotSupported

UPLINK = "uplink.bpf.o"
TYPES = "types.bpf.o"

_PACKAGE = Path(__file__).parent.parent
_PLACES = (_PACKAGE / "_objects", _PACKAGE.parent.parent / "bpf" / "build")


def object_path(name: str) -> Path:
    """The object file called `name`; NotSupported if it was not built."""
    chosen = os.environ.get("SIXLANE_OBJECTS")
    for place in (Path(chosen),) if chosen else _PLACES:
        if (place / name).is_file():
            return place / name
    raise NotSupported(f"the compiled data path ({name})", "in a source tree: make bpf")
