# SPDX-License-Identifier: Apache-2.0
"""Runs in the guest: commands come in over a virtio-serial port, output and status go back.

One JSON object a line. In: {"argv", "cwd", "timeout_s"}. Out: {"ready": release} once, then for
each command any number of {"output"} and one {"status"}. The standard library only, and nothing of
ours: imports are slow in a guest.
"""

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any, BinaryIO

PORT = "sixlane"
TIMED_OUT = 124  # as timeout(1) has it


def main() -> None:
    with _port().open("r+b", buffering=0) as port:
        _send(port, {"ready": os.uname().release})
        for line in iter(port.readline, b""):
            _send(port, {"status": _run(port, json.loads(line))})


def _port() -> Path:
    for name in Path("/sys/class/virtio-ports").glob("*/name"):
        if name.read_text().strip() == PORT:
            return Path("/dev") / name.parent.name
    raise FileNotFoundError(f"no virtio port {PORT}")


def _run(port: BinaryIO, command: dict[str, Any]) -> int:
    process = subprocess.Popen(
        command["argv"],
        cwd=command["cwd"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    timed_out = False

    def out_of_time(_signal: int, _frame: object) -> None:
        nonlocal timed_out
        timed_out = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(command["timeout_s"])
    assert process.stdout is not None
    for line in process.stdout:
        _send(port, {"output": line.decode(errors="replace")})
    status = process.wait()
    signal.alarm(0)
    return TIMED_OUT if timed_out else status


def _send(port: BinaryIO, message: dict[str, Any]) -> None:
    left = memoryview(json.dumps(message).encode() + b"\n")
    while left:
        left = left[port.write(left) :]


if __name__ == "__main__":
    main()
