# SPDX-License-Identifier: Apache-2.0
"""The Container Runtime Interface, runtime.v1: what a kubelet asks of a runtime for its pods.

Numbers of fields are those of kubernetes/cri-api, pkg/apis/runtime/v1/api.proto.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.netns import grpc

_PATIENCE_S = 120.0
_SERVICE = "/runtime.v1.RuntimeService/"
_READY = 0  # PodSandboxState


@dataclass(frozen=True)
class Pod:
    """What a pod is to be. `cgroup`: the parent of its control groups."""

    name: str
    namespace: str = "shop"
    annotations: Mapping[str, str] = field(default_factory=dict)
    nameservers: tuple[str, ...] = ()
    cgroup: str = ""
    attempt: int = 0

    @property
    def message(self) -> dict[int, Any]:
        """A PodSandboxConfig."""
        uid = f"uid-{self.name}"
        return {
            1: {1: self.name, 2: uid, 3: self.namespace, 4: self.attempt},
            2: self.name,
            4: {1: list(self.nameservers)},
            7: grpc.of_map(self.annotations),
            8: {1: self.cgroup},
        }


@dataclass(frozen=True)
class Sandbox:
    """A pod as the runtime tells of it. `addresses`: its own first."""

    id: str
    is_ready: bool
    addresses: tuple[str, ...]


class Kubelet:
    """Whoever asks the runtime that listens at `path`. Any thread may."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def is_ready(self) -> bool:
        """Whether the runtime, and its network, say that they are."""
        try:
            told = _message(self._call("Status", {}), 1)
        except grpc.Refused:  # it has but begun
            return False
        conditions = [grpc.decoded(one) for one in told[1]]
        return all(one.get(2) == [1] for one in conditions)

    def run(self, pod: Pod) -> str:
        """Starts a pod; returns its id."""
        return _text(self._call("RunPodSandbox", {1: pod.message}), 1)

    def stop(self, pod: str) -> None:
        self._call("StopPodSandbox", {1: pod})

    def remove(self, pod: str) -> None:
        self._call("RemovePodSandbox", {1: pod})

    def pods(self) -> list[str]:
        """Ids of all, those that have ended and those that were never ready among them."""
        answer = self._call("ListPodSandbox", {})
        return [_text(grpc.decoded(one), 1) for one in answer.get(1, [])]

    def look(self, pod: str) -> Sandbox:
        status = _message(self._call("PodSandboxStatus", {1: pod}), 1)
        network = _message(status, 5) if 5 in status else {}
        own = _text(network, 1) if 1 in network else ""
        others = [_text(grpc.decoded(one), 1) for one in network.get(2, [])]
        is_ready = status.get(3, [_READY]) == [_READY]
        return Sandbox(pod, is_ready, tuple(one for one in (own, *others) if one))

    def start(self, pod: str, config: Pod, image: str, command: Sequence[str]) -> str:
        """Starts a container in a pod; returns its id."""
        container = {1: {1: "main"}, 2: {1: image}, 3: list(command)}
        answer = self._call("CreateContainer", {1: pod, 2: container, 3: config.message})
        made = _text(answer, 1)
        self._call("StartContainer", {1: made})
        return made

    def execute(self, container: str, *command: str) -> tuple[int, str]:
        """Exit status and output of a program that runs in a container."""
        answer = self._call("ExecSync", {1: container, 2: list(command), 3: 30})
        output = b"".join(answer.get(1, []) + answer.get(2, []))
        return answer.get(3, [0])[0], output.decode()

    def _call(self, method: str, request: grpc.Message) -> dict[int, list[Any]]:
        return grpc.call(self._path, _SERVICE + method, request, _PATIENCE_S)


def _message(answer: Mapping[int, list[Any]], number: int) -> dict[int, list[Any]]:
    return grpc.decoded(answer[number][0])


def _text(answer: Mapping[int, list[Any]], number: int) -> str:
    return bytes(answer[number][0]).decode()
