# SPDX-License-Identifier: Apache-2.0
"""The plugin as a runtime starts it: a process with an environment and a standard input."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.patience import patience

PLUGIN = Path(__file__).parents[3] / "src/sixlane/cni/plugin.py"
COMMAND = [sys.executable, "-IS", str(PLUGIN)]
_PATIENCE_S = patience(60)


@dataclass(frozen=True)
class Ran:
    """What came of a call. `told`: the object on standard output; None: there was nothing."""

    status: int
    told: Any
    stdout: bytes
    stderr: bytes

    def result(self) -> Any:
        """Of one that went well."""
        assert self.status == 0, self.stdout
        return self.told

    def failure(self, code: int, words: str = "") -> Any:
        """Of one that failed with this code and with these words in its message."""
        assert self.status == 1, self.stdout
        assert self.told["code"] == code, self.told
        assert words in self.told["msg"], self.told
        return self.told


def call(
    command: str | None,
    stdin: object = b"",
    environment: Mapping[str, str | bytes] | None = None,
    program: list[str] | None = None,
) -> Ran:
    """`stdin`: bytes, or what is made JSON. Whatever comes of it, it is one JSON object or nothing,
    with status 0 or 1, and nothing on standard error."""
    given = stdin if isinstance(stdin, bytes) else json.dumps(stdin).encode()
    done = subprocess.run(
        program or COMMAND,
        input=given,
        env={**(environment or {}), **({} if command is None else {"CNI_COMMAND": command})},
        capture_output=True,
        timeout=_PATIENCE_S,
        check=False,
    )
    assert done.returncode in (0, 1), done
    assert done.stderr == b"", done.stderr.decode()
    told = json.loads(done.stdout) if done.stdout else None
    assert told is None or isinstance(told, dict)
    if done.returncode == 1:
        assert told is not None
        assert told.keys() <= {"cniVersion", "code", "msg", "details"}, told
        assert isinstance(told["code"], int) and told["code"] > 0
        assert isinstance(told["msg"], str) and told["msg"] and "\n" not in told["msg"]
    return Ran(done.returncode, told, done.stdout, done.stderr)


class Runtime:
    """A runtime with a network of one plugin, whose agent listens at `socket`.

    Namespaces are files: the plugin only sees whether they are there, and not its own.
    """

    def __init__(self, directory: Path, version: str = "1.1.0") -> None:
        self.socket = directory / "api.sock"
        self.directory = directory
        self.version = version

    def config(self, **more: Any) -> dict[str, Any]:
        return {
            "cniVersion": self.version,
            "name": "pods",
            "type": "sixlane",
            "socket": str(self.socket),
            "timeoutSeconds": 30,
            **more,
        }

    def netns(self, container: str) -> Path:
        path = self.directory / f"netns-{container}"
        path.touch()
        return path

    def environment(self, container: str, **more: str | bytes) -> dict[str, str | bytes]:
        return {
            "CNI_CONTAINERID": container,
            "CNI_NETNS": str(self.netns(container)),
            "CNI_IFNAME": "eth0",
            "CNI_PATH": os.defpath,
            **more,
        }

    def add(self, container: str = "c1", arguments: str = "", **config: Any) -> Ran:
        environment = self.environment(container, CNI_ARGS=arguments)
        return call("ADD", self.config(**config), environment)

    def check(self, before: Any, container: str = "c1", **config: Any) -> Ran:
        given = self.config(prevResult=before, **config)
        return call("CHECK", given, self.environment(container))

    def delete(self, container: str = "c1", **config: Any) -> Ran:
        return call("DEL", self.config(**config), self.environment(container))

    def gc(self, *containers: str, **config: Any) -> Ran:
        valid = [{"containerID": container, "ifname": "eth0"} for container in containers]
        given = self.config(**{"cni.dev/valid-attachments": valid, **config})
        return call("GC", given, {"CNI_PATH": os.defpath})

    def status(self, **config: Any) -> Ran:
        return call("STATUS", self.config(**config), {"CNI_PATH": os.defpath})
