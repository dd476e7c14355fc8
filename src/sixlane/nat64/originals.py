# SPDX-License-Identifier: Apache-2.0
"""What a device was set to before us, kept so that a teardown can put it back.

A device is known by its index, which a new name does not change; an index means a device within one
network namespace until the machine starts again, and so do the values: sysctls and features do not
outlive it either. What was kept in another of these *eras* is void.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Protocol, cast

from sixlane.errors import SixlaneError
from sixlane.nat64.settings import (
    ACCEPT_RA,
    EVERY,
    FORWARDING6,
    Family,
    Setting,
    read_setting,
    unsettled,
    write_setting,
)
from sixlane.net import link, netns, sysctl

_NAME = "name"


class Originals(Protocol):
    """A store that survives the agent; values by key, the first one remembered wins."""

    def remember(self, key: str, value: str) -> None: ...
    def items(self) -> list[tuple[str, str]]: ...
    def forget(self, key: str) -> None: ...


@dataclass(frozen=True)
class _Record:
    """`setting` is None where `value` is the name by which the Gateway calls the device."""

    key: str
    ifindex: int
    setting: Setting | None
    value: str


def settle(originals: Originals, ifindex: int) -> list[str]:
    """Sets a device as it must be, remembering what it was; what was changed, one line each.

    ConfigError: the device cannot be set so.
    """
    changes = []
    for one in unsettled(ifindex):
        # A forwarding device ignores router advertisements unless it is told twice: it may live
        # on them.
        if one.setting == FORWARDING6 and read_setting(ifindex, ACCEPT_RA) == "1":
            _set(originals, ifindex, ACCEPT_RA, "1", "2")
        _set(originals, ifindex, one.setting, one.now, one.wanted)
        changes.append(f"device {link.name_of(ifindex)}: {one}: set")
    return changes


def bind(originals: Originals, name: str, ifindex: int) -> None:
    """Remembers which device the Gateway calls `name`."""
    for record in _records(originals):
        if record.setting is None and (record.value == name) != (record.ifindex == ifindex):
            originals.forget(record.key)
    if bindings(originals).get(name) != ifindex:
        originals.remember(_key(ifindex, _NAME), name)


def bindings(originals: Originals) -> dict[str, int]:
    """The indices of the devices by the names that the Gateway has for them."""
    return {one.value: one.ifindex for one in _records(originals) if one.setting is None}


def void_keys(originals: Originals) -> list[str]:
    """What was kept in other eras."""
    present = era()
    return [key for key, _ in originals.items() if key.partition("/")[0] != present]


def restore_originals(originals: Originals) -> list[str]:
    """Puts everything back; what cannot be (a device has gone) is forgotten and returned."""
    lost = restore_unused(originals, ())
    for key, _ in originals.items():
        originals.forget(key)
    return lost


def restore_unused(originals: Originals, used: Collection[int]) -> list[str]:
    """The same for all devices but those with an index in `used`; EVERY is one."""
    lost: list[str] = []
    records = [one for one in _records(originals) if one.ifindex not in used]
    names = {one.ifindex: one.value for one in records if one.setting is None}
    for record in records:
        if record.setting is not None:
            name = names.get(record.ifindex, f"with index {record.ifindex}")
            lost += _restore(record.ifindex, name, record.setting, record.value)
    for record in records:  # afterwards: a crash in between must not lose a name
        originals.forget(record.key)
    return lost


def restore_device(originals: Originals, ifindex: int) -> list[str]:
    """The same for one device."""
    return restore_unused(originals, {one.ifindex for one in _records(originals)} - {ifindex})


def set_beside(originals: Originals, ifindex: int, setting: Setting, value: str) -> None:
    """Sets what not every device of a gateway needs, remembering what it was."""
    before = read_setting(ifindex, setting)
    if before not in (None, value):
        _set(originals, ifindex, setting, str(before), value)


def keep(originals: Originals, ifindex: int, setting: Setting, value: str) -> None:
    """Remembers a value that something else is about to change."""
    originals.remember(_key(ifindex, setting.family, setting.name), value)


def restore_beside(originals: Originals, setting: Setting, used: Collection[int]) -> list[str]:
    """Puts one setting back on all devices but those with an index in `used`; what cannot be is
    forgotten and returned."""
    lost: list[str] = []
    for record in _records(originals):
        if record.setting == setting and record.ifindex not in used:
            name = f"with index {record.ifindex}"
            lost += _restore(record.ifindex, name, setting, record.value)
            originals.forget(record.key)
    return lost


def _set(originals: Originals, ifindex: int, setting: Setting, before: str, value: str) -> None:
    originals.remember(_key(ifindex, setting.family, setting.name), before)
    write_setting(ifindex, setting, value)


def _restore(ifindex: int, name: str, setting: Setting, value: str) -> Iterator[str]:
    if ifindex != EVERY and link.find(ifindex) is None:
        yield f"device {name} has gone: its {setting} was {value}"
        return
    try:
        write_setting(ifindex, setting, value)
    except SixlaneError as error:
        yield f"device {name}: its {setting} was {value}: {error}"


def _records(originals: Originals) -> list[_Record]:
    """Those of this era."""
    found = []
    present = era()
    for key, value in originals.items():
        when, _, rest = key.partition("/")
        ifindex, _, what = rest.partition("/")
        if when != present or not ifindex.isdigit():
            continue
        family, _, name = what.partition("/")
        setting = Setting(cast("Family", family), name) if name else None
        found.append(_Record(key, int(ifindex), setting, value))
    return found


def _key(ifindex: int, *what: str) -> str:
    return "/".join((era(), str(ifindex), *what))


def era() -> str:
    """From a start of the machine to the next, in one network namespace."""
    return f"{sysctl.get('kernel.random.boot_id')}:{netns.cookie()}"
