# SPDX-License-Identifier: Apache-2.0
"""The first root of a guest: the modules that mounting the real one takes, and a script for it.

Debian builds some of them into one kernel and ships them as modules with another, so both start
from here.
"""

import lzma
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.vm.errors import Failed
from tests.vm.kernels import Kernel

_MODULES = ("virtio_pci", "virtio_console", "virtiofs", "overlay")
_INIT = Path(__file__).with_name("init.sh")
_DIRECTORIES = ("bin", "dev", "modules", "new", "lower", "upper", "proc", "sys")


def build(kernel: Kernel, target: Path) -> None:
    """Writes the archive. Failed if the kernel has one of the modules neither so nor so."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise Failed("busybox is missing (packaging/install-deps vm)")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for directory in _DIRECTORIES:
            (root / directory).mkdir()
        shutil.copy(busybox, root / "bin" / "busybox")
        shutil.copy(_INIT, root / "init")
        (root / "init").chmod(0o755)
        for number, module in enumerate(_in_order(kernel)):
            contents = module.read_bytes()
            if module.suffix == ".xz":
                contents = lzma.decompress(contents)
            (root / "modules" / f"{number:02}.ko").write_bytes(contents)
        files = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
        with target.open("wb") as archive:
            subprocess.run(
                ["cpio", "--quiet", "--create", "--format=newc"],
                input=files.encode(),
                stdout=archive,
                cwd=root,
                check=True,
            )


def _in_order(kernel: Kernel) -> list[Path]:
    """The modules' files, each behind those that it needs."""
    needs = {}
    for line in (kernel.modules / "modules.dep").read_text().splitlines():
        module, _, needed = line.partition(":")
        needs[_name(module)] = [module, *needed.split()]
    builtin = {_name(line) for line in (kernel.modules / "modules.builtin").read_text().split()}
    files: list[str] = []
    for module in _MODULES:
        if module not in needs and module not in builtin:
            raise Failed(f"Linux {kernel.release} has no {module}")
        files += reversed(needs.get(module, []))
    return [kernel.modules / file for file in dict.fromkeys(files)]


def _name(path: str) -> str:
    return Path(path).name.split(".")[0].replace("-", "_")
