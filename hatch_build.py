# SPDX-License-Identifier: Apache-2.0
"""Build hook of the wheel: compiles the data path and puts its objects into sixlane/_objects/.

An editable install gets none: there the objects are those of bpf/build, made by `make bpf`.
"""

import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ObjectsHook(BuildHookInterface[Any]):
    """Runs `make -C bpf` and adds bpf/build/*.bpf.o to a standard wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        source = Path(self.root, "bpf")
        subprocess.run(["make", "-C", str(source)], check=True)
        objects = sorted(source.glob("build/*.bpf.o"))
        if not objects:
            raise FileNotFoundError(f"make -C {source} left no build/*.bpf.o")
        build_data["pure_python"] = True  # BPF byte code runs on every CPU of its byte order
        for path in objects:
            build_data["force_include"][str(path)] = f"sixlane/_objects/{path.name}"
