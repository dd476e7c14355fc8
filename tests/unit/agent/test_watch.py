# SPDX-License-Identifier: Apache-2.0
"""Watchers hear of all that came of changes, at their own pace."""

import threading
from collections.abc import Mapping

from sixlane.agent.conditions import UNKNOWN, Condition, Standing, dated
from sixlane.agent.desired import KEPT_REVISIONS, State, merged
from sixlane.agent.edits import delete, put
from sixlane.agent.transaction import Edit, Transaction
from sixlane.agent.watch import Event, Hub, Snapshot, Watch
from sixlane.model import Key
from tests.unit.agent.fakes import dns64, gateway

EDGE, CLUSTER = Key("Gateway", "edge"), Key("Dns64", "cluster")
WELL = dated(UNKNOWN, [Condition("Ready", "True", "InForce")], 1, 0)
ILL = dated(UNKNOWN, [Condition("Ready", "False", "Absent")], 1, 0)


class Desk:
    """Publishes what edits make."""

    def __init__(self) -> None:
        self.hub = Hub()
        self.state = State()

    def apply(self, *edits: Edit) -> None:
        self.state = merged(self.state, Transaction(edits)).state
        self.stand({})

    def stand(self, standings: Mapping[Key, Standing]) -> None:
        snapshot = self.hub.snapshot
        known = {key: entry.standing for key, entry in snapshot.entries.items()}
        known = {**dict.fromkeys(self.state.objects, WELL), **known, **standings}
        self.hub.publish(snapshot.after(self.state, known))

    def fill(self, revisions: int) -> None:
        for turn in range(revisions):
            self.apply(put(gateway(lowestIPv6MTU=1280 + (self.state.revision + turn) % 1000)))


def events(watch: Watch) -> list[Event]:
    """All there are now."""
    found = []
    while (event := watch.next(0)) is not None:
        found.append(event)
    return found


def told(watch: Watch) -> list[str]:
    names = []
    for event in events(watch):
        data = event.data
        names.append(
            event.type if event.type == "synced" else f"{event.type} {data['resource']['kind']}"
        )
    return names


def test_first_all_there_is_then_what_changes() -> None:
    desk = Desk()
    desk.apply(put(gateway()), put(dns64()))
    with desk.hub.watch(None) as watch:
        assert told(watch) == ["put Dns64", "put Gateway", "synced"]
        desk.apply(put(gateway(lowestIPv6MTU=1400)))
        assert told(watch) == ["put Gateway"]
        desk.apply(delete(CLUSTER))
        assert told(watch) == ["deleted Dns64"]
        assert told(watch) == []


def test_what_an_event_holds() -> None:
    desk = Desk()
    desk.apply(put(gateway()))
    with desk.hub.watch(None) as watch:
        put_event, synced = events(watch)
        assert put_event.data == {
            "type": "put",
            "revision": 1,
            "resource": {
                **gateway().as_data(),
                "metadata": {"name": "edge", "generation": 1, "resourceVersion": "1"},
                "status": WELL.as_data(),
            },
        }
        names = [{"kind": "Gateway", "name": "edge"}]
        assert synced.data == {"type": "synced", "revision": 1, "resources": names}
        desk.apply(delete(EDGE))
        [deleted] = events(watch)
        assert deleted.data["resource"] == {
            "apiVersion": "sixlane.dev/v1alpha1",
            "kind": "Gateway",
            "metadata": {"name": "edge"},
        }


def test_the_slow_are_told_what_came_of_it() -> None:
    desk = Desk()
    desk.apply(put(gateway()), put(dns64()))
    with desk.hub.watch(None) as watch:
        events(watch)
        desk.fill(1000)
        desk.apply(delete(CLUSTER))
        desk.apply(put(dns64()))
        assert len(watch._pending) == 0
        assert told(watch) == ["put Dns64", "put Gateway"]


def test_a_condition_that_moves_is_a_change() -> None:
    desk = Desk()
    desk.apply(put(gateway()))
    with desk.hub.watch(None) as watch:
        events(watch)
        desk.stand({EDGE: ILL})
        [event] = events(watch)
        assert event.data["resource"]["status"] == ILL.as_data()
        desk.stand({EDGE: ILL})
        assert events(watch) == []


def test_resuming_tells_what_was_missed() -> None:
    desk = Desk()
    desk.apply(put(gateway()), put(dns64()))
    desk.apply(put(gateway(lowestIPv6MTU=1400)))
    with desk.hub.watch(1) as watch:
        # The condition of each may have moved in revision 1.
        assert told(watch) == ["put Dns64", "put Gateway", "synced"]
    desk.apply(delete(EDGE))
    with desk.hub.watch(2) as watch:
        assert told(watch) == ["deleted Gateway", "synced"]
    with desk.hub.watch(3) as watch:
        assert told(watch) == ["synced"]


def test_resuming_behind_a_condition_that_moved() -> None:
    desk = Desk()
    desk.apply(put(gateway()))
    desk.apply(put(dns64()))
    desk.stand({EDGE: ILL})  # in revision 2: whoever saw that one may not know
    with desk.hub.watch(2) as watch:
        assert "put Gateway" in told(watch)


def test_resuming_from_too_long_ago_or_from_the_future_begins_anew() -> None:
    desk = Desk()
    desk.apply(put(dns64()))
    desk.apply(delete(CLUSTER))
    desk.fill(KEPT_REVISIONS)
    for since in (1, 99_999):
        with desk.hub.watch(since) as watch:
            assert told(watch) == ["put Gateway", "synced"]


def test_only_the_last_event_of_a_change_can_be_resumed_from() -> None:
    desk = Desk()
    with desk.hub.watch(None) as watch:
        assert [event.resume for event in events(watch)] == [0]
        desk.apply(put(gateway()), put(dns64()))
        assert [event.resume for event in events(watch)] == [0, 1]
    with desk.hub.watch(None) as watch:
        assert [event.resume for event in events(watch)] == [None, None, 1]


def test_waiting_ends_with_a_change_and_with_the_hub() -> None:
    desk = Desk()
    heard: list[Event | None] = []
    with desk.hub.watch(None) as watch:
        events(watch)
        thread = threading.Thread(target=lambda: heard.append(watch.next(30)))
        thread.start()
        desk.apply(put(gateway()))
        thread.join(5)
        assert [event.type for event in heard if event] == ["put"]
        thread = threading.Thread(target=lambda: heard.append(watch.next(30)))
        thread.start()
        desk.hub.close()
        thread.join(5)
        assert heard[1:] == [None]
        assert watch.closed


def test_what_did_not_change_is_shared() -> None:
    desk = Desk()
    desk.apply(put(gateway()), put(dns64()))
    before = desk.hub.snapshot
    desk.apply(put(gateway(lowestIPv6MTU=1400)))
    assert desk.hub.snapshot.entries[CLUSTER] is before.entries[CLUSTER]
    assert Snapshot().after(State(), {}).entries == {}
