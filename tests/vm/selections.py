# SPDX-License-Identifier: Apache-2.0
"""Which tests run on which kernel.

An emulated machine is ten times slower than a real one. So `CI` has what a kernel or a compiler can
make fail: each kernel loads what each compiler makes, whatever is selected; then packets of each
way through the programs on the oldest kernel, and on the newer one hairpins, real traffic, and what
few other machines can run, which are pods by netkit and the kernel's tunnel devices: one case of
each test, not all of the same kind. `ALL` has all of both, by each compiler. Of tests with an
agent, which starts within ten seconds at best, there are but two.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Selection:
    """What one pytest runs. `skips`: the reasons for which tests may skip there. `one_of_each`: of
    the cases of a test one."""

    kernel: str
    compiler: str
    tests: tuple[str, ...]
    skips: tuple[str, ...] = ()
    one_of_each: bool = False


# Asked of a compiler and not of a kernel, and half a minute each.
_COMPILES = "--deselect=tests/prog/test_digests.py"
# A guest has one CPU.
_TWO_CPUS = (
    "--deselect=tests/prog/test_import.py::test_packets_of_the_same_flows_meanwhile",
    "--deselect=tests/prog/test_import.py::test_packets_of_the_same_clients_meanwhile",
    "--deselect=tests/prog/test_session_races.py",
    "--deselect=tests/prog/test_session_log.py::test_the_log_is_the_truth",
    "--deselect=tests/prog/test_static.py::test_packets_meanwhile",
)
# They fill tables, packet by packet, which no kernel makes another test of.
_MANY_PACKETS = (
    "--deselect=tests/prog/test_lb.py::test_a_flood_of_first_packets_takes_no_place_of_others",
    "--deselect=tests/prog/test_sessions.py::test_a_full_table",
    "--deselect=tests/prog/test_sessions.py::test_blocks_run_out",
)
_ON_6_1 = ("no TCX here", "no netkit here", "no XDP metadata above 32 bytes here")
_AGENT = "tests/netns/test_pods.py::test_each_kind_of_device"
_BIG_TCP = tuple(
    f"tests/netns/test_big_tcp_devices.py::test_{name}"
    for name in ("all_have_it_and_get_back_what_they_had", "packets_beyond_64_kib_arrive")
)
# Of pods by netkit, one test of each way.
_NETKIT = tuple(
    f"tests/netns/test_pods_devices.py::test_{name}"
    for name in (
        "both_ends_are_as_they_should_be",
        "nothing_half_made_is_left",
        "from_pod_to_pod",
        "from_pod_to_another_node_and_back",
        "a_pod_sends_from_its_own_addresses_alone",
        "a_flow_goes_on_while_programs_are_replaced",
        "pods_of_a_gateways_node",
    )
)


def _traffic(*names: str) -> tuple[str, ...]:
    return tuple(f"tests/netns/test_{name}.py" for name in names)


CI = (
    Selection(
        "6.12",
        "clang-19",
        (
            *(*_NETKIT, *_BIG_TCP, _AGENT, *_traffic("big_tcp", "net_netkit", "tunnel_devices")),
            *("tests/prog/test_hairpin.py", *_traffic("offloads", "small_links")),
        ),
        one_of_each=True,
    ),
    Selection(
        "6.1",
        "clang",
        (
            *(
                f"tests/prog/test_{name}.py"
                for name in ("pipeline", "frames", "sessions", "lb", "pods")
            ),
            *_MANY_PACKETS,
            "tests/netns/test_big_tcp_devices.py::test_what_this_kernel_lacks_is_told",
        ),
        _ON_6_1,
        one_of_each=True,
    ),
)

_TRAFFIC = _traffic(
    *("offloads", "small_links", "big_tcp", "order", "next_hops_alone", "datapath", "net_clsact"),
    *("net_netkit", "pods_devices", "big_tcp_devices", "tunnel_devices"),
)

ALL = tuple(
    selection
    for compiler in ("clang", "clang-19")
    for selection in (
        Selection("6.12", compiler, ("tests/prog", _COMPILES, *_TWO_CPUS, *_TRAFFIC, _AGENT)),
        Selection(
            "6.1",
            compiler,
            ("tests/prog", _COMPILES, *_TWO_CPUS, *_traffic("pods_devices")),
            _ON_6_1,
        ),
    )
)
