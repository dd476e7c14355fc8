# SPDX-License-Identifier: Apache-2.0
"""A guest under QEMU: a kernel of Debian's over this machine's root, and commands in it.

By software (TCG), so that it runs wherever it is started; with KVM, some machines hang.
"""

import asyncio
import contextlib
import json
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.vm import agent, initramfs
from tests.vm.errors import Failed
from tests.vm.kernels import Kernel

_MEMORY_MIB = 2048
_BOOT_S = 180  # it takes 10 s; an emulated machine on a busy one may be much slower
_GRACE_S = 10  # behind a command's own limit, which the agent keeps
_FOREVER_S = 1_000_000_000
_LINE_BYTES = 1 << 20
_VIRTIOFSD = ("/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd")  # Debian 13, 12


@dataclass
class Guest:
    """A running guest. `say` gets each line that a command prints, without its end. `counts`: its
    clock is none."""

    kernel: Kernel
    say: Callable[[str], None]
    counts: bool
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter

    async def run(self, argv: Sequence[str], *, cwd: Path, timeout_s: int) -> int:
        """The command's exit status. Failed if it does not end in time, or the guest does."""
        there_s = _FOREVER_S if self.counts else timeout_s
        request = {"argv": list(argv), "cwd": str(cwd), "timeout_s": there_s}
        self._writer.write(json.dumps(request).encode() + b"\n")
        try:
            async with asyncio.timeout(timeout_s + _GRACE_S):
                while "status" not in (message := await self._receive()):
                    self.say(message["output"].rstrip("\n"))
        except TimeoutError as error:
            raise Failed(f"Linux {self.kernel.series}: the guest hangs") from error
        if message["status"] == agent.TIMED_OUT:
            raise Failed(f"Linux {self.kernel.series}: {argv[0]} took more than {timeout_s} s")
        return int(message["status"])

    async def _receive(self) -> dict[str, Any]:
        line = await self._reader.readline()
        if not line:
            raise Failed(f"Linux {self.kernel.series}: the guest is gone")
        message: dict[str, Any] = json.loads(line)
        return message


@asynccontextmanager
async def started(
    kernel: Kernel, cpus: int, say: Callable[[str], None], *, counts: bool = False
) -> AsyncIterator[Guest]:
    """A guest that is ready for commands; it and its file server end with the block. `counts`: its
    clock goes on by a nanosecond with each instruction, and skips whatever it waits for."""
    with tempfile.TemporaryDirectory(prefix="sixlane-vm-") as name:
        work = Path(name)
        initramfs.build(kernel, work / "initramfs")
        console = work / "console"
        try:
            async with (
                _file_server(work),
                _process(_qemu(kernel, cpus, work, counts), work / "qemu") as qemu,
            ):
                async with asyncio.timeout(_BOOT_S):
                    reader, writer = await _connect(work / "channel", qemu)
                    guest = Guest(kernel, say, counts, reader, writer)
                    await guest._receive()
                try:
                    yield guest
                finally:
                    writer.close()
        except (Failed, TimeoutError) as error:
            for log in (work / "virtiofsd", work / "qemu", console):
                if log.exists():
                    for line in log.read_text(errors="replace").splitlines()[-25:]:
                        say(f"{log.name}: {line}")
            if isinstance(error, TimeoutError):
                raise Failed(f"Linux {kernel.series}: no start within {_BOOT_S} s") from error
            raise


@asynccontextmanager
async def _file_server(work: Path) -> AsyncIterator[None]:
    """virtiofsd for QEMU to connect to; the socket is there before either starts."""
    program = next((path for path in _VIRTIOFSD if Path(path).exists()), None)
    if program is None:
        raise Failed("virtiofsd is missing (packaging/install-deps vm)")
    shared = ("source=/", "sandbox=chroot", "xattr", "cache=always")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{work}/virtiofs")
        listener.listen(1)
        argv = [program, f"--fd={listener.fileno()}", *(f"-o{option}" for option in shared)]
        async with _process(argv, work / "virtiofsd", listener.fileno()):
            yield


def _qemu(kernel: Kernel, cpus: int, work: Path, counts: bool) -> list[str]:
    program = shutil.which("qemu-system-x86_64")
    if program is None:
        raise Failed("qemu-system-x86_64 is missing (packaging/install-deps vm)")
    words = {
        "console": "ttyS0",
        "mitigations": "off",
        "rcupdate.rcu_expedited": "1",  # else 6.1 mostly waits: each new table is a grace period
        "panic": "-1",
        "modules": kernel.modules,
        "python": sys.executable,
        "agent": agent.__file__,
    }
    return [
        program,
        *("-machine", "q35,memory-backend=memory", "-cpu", "Nehalem"),
        *("-accel", f"tcg,thread={'single' if counts else 'multi'}"),
        *(("-icount", "shift=0,sleep=off") if counts else ()),
        *("-m", f"{_MEMORY_MIB}", "-smp", f"{cpus}"),
        *("-object", f"memory-backend-memfd,id=memory,size={_MEMORY_MIB}M,share=on"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-kernel", f"{kernel.image}", "-initrd", f"{work}/initramfs"),
        *("-append", " ".join(f"{key}={value}" for key, value in words.items()) + " quiet"),
        *("-serial", f"file:{work}/console"),
        *("-chardev", f"socket,id=virtiofs,path={work}/virtiofs"),
        *("-device", "vhost-user-fs-pci,chardev=virtiofs,tag=root"),
        *("-chardev", f"socket,id=channel,path={work}/channel,server=on,wait=on"),
        *("-device", "virtio-serial-pci"),
        *("-device", f"virtserialport,chardev=channel,name={agent.PORT}"),
    ]


@asynccontextmanager
async def _process(
    argv: list[str], log: Path, *descriptors: int
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that ends with the block, and at once if we are killed."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig=KILL", *argv),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=descriptors,
            start_new_session=True,  # Ctrl-C is ours to deal with
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _connect(
    path: Path, qemu: asyncio.subprocess.Process
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    while True:
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            return await asyncio.open_unix_connection(path, limit=_LINE_BYTES)
        if qemu.returncode is not None:
            raise Failed(f"QEMU ended with {qemu.returncode}")
        await asyncio.sleep(0.1)
