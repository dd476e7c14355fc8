# SPDX-License-Identifier: Apache-2.0
"""What makes another layout of a map, by building changed sources."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sixlane.bpf import Btf
from sixlane.datapath import layout
from sixlane.datapath.generate import render
from sixlane.datapath.objects import TYPES, UPLINK
from tests import needs
from tests.unit.datapath.test_layout import TABLES

BPF = Path(__file__).parents[2] / "bpf"

CHANGED = {
    "a field of the tables": ("struct gateway {\n", "struct gateway {\n\t__u64 a;\n", TABLES),
    "what is in a hash of EAMs": (
        "__be32 addr4;\n\t__u8 len4",
        "__u32 addr4;\n\t__u8 len4",
        TABLES | {"visits"},
    ),
    "a limit": ("MAX_EAM_LENGTHS = 32,", "MAX_EAM_LENGTHS = 31,\n\tA = 1,", TABLES),
    "a flag": ("PREFIX_RESTRICTED = 2,", "PREFIX_RESTRICTED = 4,", TABLES),
    "two reasons in each other's place": (
        "\tDROP_TRUNCATED,\n\tDROP_MALFORMED,\n",
        "\tDROP_MALFORMED,\n\tDROP_TRUNCATED,\n",
        {
            "counters",
            "past_counters",
            "prefix_counters",
            "past_prefixes",
            "frontend_drops",
            "events",
            "captures",
        },
    ),
    "what is remembered of a next hop": (
        "struct next_hop {\n",
        "struct next_hop {\n\t__u64 a;\n",
        {"next_hops", "fib_works"},
    ),
    "a comment": ("/* sent on */", "/* sent */", set()),
}


_FUNCTION = re.compile(r'^(?:__noinline |SEC\("(?:xdp\.frags|tc|syscall)"\)\n)', re.MULTILINE)
"""What has clang compile a function that no other calls, for half a minute all together: the maps
alone are asked for."""


def digests(text: str) -> dict[str, str]:
    found = re.search(r"^DIGESTS = \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    assert found
    return dict(re.findall(r'"(\w+)": "(\w+)"', found[1]))


@needs.command("clang")
@needs.command("make")
@pytest.mark.parametrize(("old", "new", "maps"), CHANGED.values(), ids=list(CHANGED))
def test_only_the_maps_that_changed_get_another_digest(
    old: str, new: str, maps: set[str], tmp_path: Path
) -> None:
    tree = tmp_path / "bpf"
    shutil.copytree(BPF, tree, ignore=shutil.ignore_patterns("build"))
    types = tree / "sixlane" / "types.h"
    assert types.read_text().count(old) == 1
    types.write_text(types.read_text().replace(old, new))
    for source in (*tree.glob("*.c"), *types.parent.glob("*.h")):
        source.write_text(_FUNCTION.sub("static __attribute__((unused)) ", source.read_text()))
    subprocess.run(["make", "--silent", "-C", tree], check=True)
    built = digests(render(Btf.from_file(tree / "build" / TYPES), tree / "build" / UPLINK))
    assert built.keys() == layout.DIGESTS.keys()
    assert {name for name in built if built[name] != layout.DIGESTS[name]} == maps
