# SPDX-License-Identifier: Apache-2.0
"""Which tests run on which kernel.

An emulated machine is ten times slower than a real one, and two compilers' objects run on two
kernels. So `CI` has what a kernel or a compiler can make fail: the data path, not what is around
it. What takes long without saying more about the kernel is only in `ALL`.
"""

from dataclasses import dataclass

from tests.vm.kernels import SERIES
from tests.vm.objects import COMPILERS


@dataclass(frozen=True)
class Selection:
    """What one pytest runs. `skips`: the reasons for which tests may skip there."""

    kernel: str
    compiler: str
    tests: tuple[str, ...]
    skips: tuple[str, ...] = ()


# They compile: that says nothing about a kernel, and takes half a minute for each test.
_COMPILING = "--deselect=tests/prog/test_digests.py"
_SKIPS = {"6.12": (), "6.1": ("no TCX here",)}

# No agent in them: its start alone takes ten seconds there.
_TRAFFIC = tuple(
    f"tests/netns/test_{name}.py"
    for name in ("offloads", "order", "small_links", "next_hops_alone")
)
_ATTACHING = ("tests/netns/test_datapath.py", "tests/netns/test_net_clsact.py")

CI = (
    Selection("6.12", "clang", (*_TRAFFIC,)),
    Selection("6.12", "clang-19", ("tests/prog/test_pipeline.py",)),
    Selection("6.1", "clang", ("tests/prog/test_pipeline.py",), _SKIPS["6.1"]),
)

ALL = tuple(
    Selection(kernel, compiler, ("tests/prog", _COMPILING, *_TRAFFIC, *_ATTACHING), _SKIPS[kernel])
    for kernel in SERIES
    for compiler in COMPILERS
)
