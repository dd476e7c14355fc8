# SPDX-License-Identifier: Apache-2.0
"""Where the compiled data path lies: in the installed package, or in the source tree.

The environment variable SIXLANE_OBJECTS names another directory, for tests of another build.
"""

import os
from pathlib import Path

from sixlane.errors import NotSupported

UPLINK = "uplink.bpf.o"
DECAP = "decap.bpf.o"
POD = "pod.bpf.o"
TYPES = "types.bpf.o"

_PACKAGE = Path(__file__).parent.parent
_PLACES = (_PACKAGE / "_objects", _PACKAGE.parent.parent / "bpf" / "build")


def object_path(name: str) -> Path:
    """The object file called `name`; NotSupported if it was not built."""
    named = os.environ.get("SIXLANE_OBJECTS")
    for place in (Path(named),) if named else _PLACES:
        if (place / name).is_file():
            return place / name
    hint = f"SIXLANE_OBJECTS is {named}" if named else "in a source tree: make bpf"
    raise NotSupported(f"the compiled data path ({name})", hint)
