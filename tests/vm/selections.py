# SPDX-License-Identifier: Apache-2.0
"""Which tests run on which kernel.

An emulated machine is ten times slower than a real one. So `CI` has what a kernel or a compiler can
make fail: each kernel loads what each compiler makes, whatever is selected; then one packet at a
time on the oldest kernel, and on the newer one a part of these and real traffic. `ALL` has all of
both, by each compiler. Tests with an agent are in neither: it starts within ten seconds at best.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Selection:
    """What one pytest runs. `skips`: the reasons for which tests may skip there."""

    kernel: str
    compiler: str
    tests: tuple[str, ...]
    skips: tuple[str, ...] = ()


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
# Half a minute each, for lists and packets that are many and not of another kind.
_LONG = (
    "--deselect=tests/prog/test_tables.py::test_a_long_list",
    "--deselect=tests/prog/test_events.py::test_an_event_for_each_drop_and_for_nothing_else",
    *(
        f"--deselect=tests/prog/test_{name}"
        for name in (
            "known.py::test_more_pairs_than_there_is_room_for",
            "known.py::test_more_destinations_than_there_are_sets",
            "known.py::test_a_full_set_gives_way_to_one_of_eight",
            "known.py::test_what_is_remembered_of_another_flow_with_the_same_tag",
            "known.py::test_an_odd_packet_fares_alike_between_known_addresses",
            # Each loads the programs once more.
            "trace.py::test_a_mapping_is_named",
            "trace.py::test_frames_are_taken_as_they_are",
            "trace.py::test_no_limit_keeps_an_answer_back",
            "trace.py::test_nothing_is_changed",
            "trace.py::test_the_packet_that_would_leave_is_the_one_that_leaves",
            "trace.py::test_the_tables_of_now",
            "trace.py::test_what_cannot_be_asked",
            "trace.py::test_why_not",
            "capture.py::test_how_much_is_kept",
            "capture.py::test_nobody_reads",
            "capture.py::test_over_the_rate",
            "capture.py::test_what_is_asked_for",
            # Of Python rather than of a kernel, or many packets, and each loads the programs anew.
            "import.py::test_all_is_as_packets_have_made_it",
            "import.py::test_clients_of_another_entry",
            "import.py::test_filtering_knows_whom_it_talks_to",
            "import.py::test_it_lives_as_long",
            "import.py::test_more_than_fit_at_once",
            "import.py::test_no_room",
            "import.py::test_one_endpoint_called_under_two_prefixes",
            "import.py::test_what_has_no_time_left_ends",
            "import.py::test_what_is_in_the_way_stays",
            "import.py::test_what_is_not_pool4",
            "import.py::test_without_tables",
            "session_clock.py",
            "session_floods.py",
            "session_log.py::test_a_packet_ends_what_is_over",
            "session_log.py::test_a_session_that_is_there_says_nothing",
            "session_log.py::test_a_static_binding",
            "session_log.py::test_a_trace_is_no_session",
            "session_log.py::test_an_address_that_has_left_pool4",
            "session_log.py::test_each_is_on_or_off",
            "session_log.py::test_from_outside",
            "session_log.py::test_none_unless_asked_for",
            "session_log.py::test_what_finds_no_room_is_counted",
            "session_log.py::test_what_is_imported_is_made_here",
            "session_log.py::test_whether_tables_are_new",
            "session_tables.py",
            "session_tcp.py::test_a_flood_of_syns",
            "session_views.py",
            "trace_sessions.py",
        )
    ),
)
_ON_6_1 = ("no TCX here",)


def _traffic(*names: str) -> tuple[str, ...]:
    return tuple(f"tests/netns/test_{name}.py" for name in names)


CI = (
    Selection(
        "6.12",
        "clang-19",
        (
            "tests/prog/test_pipeline.py",
            "tests/prog/test_hairpin.py",
            *_traffic("offloads", "small_links", "big_tcp"),
        ),
    ),
    Selection("6.1", "clang", ("tests/prog", _COMPILES, *_TWO_CPUS, *_LONG), _ON_6_1),
)

_TRAFFIC = _traffic(
    "offloads", "small_links", "big_tcp", "order", "next_hops_alone", "datapath", "net_clsact"
)

ALL = tuple(
    selection
    for compiler in ("clang", "clang-19")
    for selection in (
        Selection("6.12", compiler, ("tests/prog", _COMPILES, *_TWO_CPUS, *_TRAFFIC)),
        Selection("6.1", compiler, ("tests/prog", _COMPILES, *_TWO_CPUS), _ON_6_1),
    )
)
