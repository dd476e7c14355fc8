# SPDX-License-Identifier: Apache-2.0
"""What the machine was set to before: each part's own, in one store."""

from sixlane.nat64 import Originals

_PODS = "pods "


class GatewaysOriginals:
    """All but those of pods."""

    def __init__(self, store: Originals) -> None:
        self._store = store

    def remember(self, key: str, value: str) -> None:
        self._store.remember(key, value)

    def items(self) -> list[tuple[str, str]]:
        return [one for one in self._store.items() if not one[0].startswith(_PODS)]

    def forget(self, key: str) -> None:
        self._store.forget(key)


class PodsOriginals:
    """What was changed for pods alone."""

    def __init__(self, store: Originals) -> None:
        self._store = store

    def remember(self, key: str, value: str) -> None:
        self._store.remember(_PODS + key, value)

    def items(self) -> list[tuple[str, str]]:
        items = self._store.items()
        return [(key.removeprefix(_PODS), value) for key, value in items if key.startswith(_PODS)]

    def forget(self, key: str) -> None:
        self._store.forget(_PODS + key)
