# SPDX-License-Identifier: Apache-2.0
"""What the verifier says of each program: instructions, states walked, stack.

    python -m sixlane.datapath.sizes [--check]

The stack is that of the largest function; the kernel allows a chain of calls 512 bytes together. A
jump over the limits below is a change to think about, not to pass by.
"""

import re
import sys
from dataclasses import dataclass

from sixlane.bpf import LogLevel, Object
from sixlane.datapath.objects import DECAP, POD, UPLINK, object_path


@dataclass(frozen=True)
class Size:
    """`instructions`: after the verifier's rewriting; `walked`: by the verifier; stack in bytes."""

    instructions: int
    walked: int
    stack_bytes: int

    def within(self, limit: "Size") -> bool:
        return (
            self.instructions <= limit.instructions
            and self.walked <= limit.walked
            and self.stack_bytes <= limit.stack_bytes
        )


# A quarter above what clang 14 and 19 made when this was last looked at. The stack is what Linux
# 6.1 leaves to forward(): it rounds frames up to 32 bytes, the entry's and a leaf's among them.
LIMITS = {
    # Services are a third of these: tunnels, translation within and across families, their errors.
    "uplink_xdp": Size(74_000, 540_000, 416),
    "uplink_tc": Size(70_000, 530_000, 416),
    "slow_turn": Size(50, 50, 0),
    "check_out": Size(2_000, 2_600, 192),
    "sweep_sessions": Size(3_000, 14_000, 176),
    "sweep_syns": Size(1_000, 2_500, 256),
    "bind_static": Size(6_000, 90_000, 240),
    "import_sessions": Size(9_000, 90_000, 240),
    "build_ring": Size(420, 7_000, 112),
    "decap_xdp": Size(1_200, 10_500, 240),
    "decap_tc": Size(1_000, 8_200, 240),
    "decap_answer": Size(500, 23_000, 112),
    "from_pod": Size(2_000, 14_000, 272),
    "from_netkit": Size(2_000, 14_000, 272),
    "from_pod_out": Size(1_250, 7_500, 272),
    "uplink_to_pod": Size(700, 2_900, 112),
}


def measure(name: str) -> dict[str, Size]:
    """Loads an object's programs without attaching them. KernelError if the kernel refuses one."""
    with Object.open(object_path(name)) as opened:
        for program in opened.programs.values():
            program.keep_log(LogLevel.STATS)
        opened.load()
        return {
            name: Size(
                program.info.instructions,
                program.info.verified_instructions,
                _largest_frame(program.log),
            )
            for name, program in opened.programs.items()
        }


def _largest_frame(log: str) -> int:
    """The verifier prints each function's frame: "stack depth 0+368+8+72"."""
    found = re.search(r"stack depth ([\d+]+)", log)
    return max(int(part) for part in found[1].split("+")) if found else 0


def main() -> None:
    failed = False
    print(f"{'program':12} {'instructions':>12} {'walked':>8} {'stack':>6}")
    for name, size in (measure(UPLINK) | measure(DECAP) | measure(POD)).items():
        print(f"{name:12} {size.instructions:12} {size.walked:8} {size.stack_bytes:6}")
        failed |= not size.within(LIMITS[name])
    if failed and "--check" in sys.argv[1:]:
        sys.exit("a program has grown beyond LIMITS in src/sixlane/datapath/sizes.py")


if __name__ == "__main__":
    main()
