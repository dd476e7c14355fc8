# SPDX-License-Identifier: Apache-2.0
"""What a container runtime is told of a pod: what it has now, or why it has it not."""

from dataclasses import dataclass
from enum import IntEnum

from sixlane.errors import SixlaneError
from sixlane.model.addresses import AnyAddress, AnyNetwork
from sixlane.pods.pod import Lease


class CniCode(IntEnum):
    """Error codes of the CNI specification 1.1; from 100 on they are ours."""

    INCOMPATIBLE_VERSION = 1
    UNSUPPORTED_FIELD = 2
    UNKNOWN_CONTAINER = 3
    """The runtime then has no DEL follow: nothing of the container may be left."""
    INVALID_ENVIRONMENT = 4
    IO_FAILURE = 5
    DECODING_FAILURE = 6
    INVALID_CONFIGURATION = 7
    TRY_AGAIN_LATER = 11
    NOT_AVAILABLE = 50
    """Of STATUS: no ADD would succeed."""
    LIMITED = 51
    """Of STATUS: nor may pods that are there have all of their network."""
    DEFECT = 100
    NOT_AS_TOLD = 101
    """Of CHECK: something is not as ADD has told."""
    KERNEL = 102


class PodError(SixlaneError):
    """Why a pod does not get what it asks for, with the code that the runtime is told."""

    def __init__(self, code: CniCode, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.code = code

    def __reduce__(self) -> tuple[type["PodError"], tuple[CniCode, str, str]]:
        return type(self), (self.code, self.message, self.hint)


@dataclass(frozen=True)
class PodRoute:
    """A route in the pod. `via`: None: its device alone leads there."""

    to: AnyNetwork
    via: AnyAddress | None = None


@dataclass(frozen=True)
class Attached:
    """A lease whose device has been made.

    `mac`, `host_mac`: of the device in the pod and of its end on the host, six bytes; None: it has
    none (netkit without a link header). `gateways`: by which the default routes lead, one of each
    family at most.
    """

    lease: Lease
    mac: bytes | None
    host_mac: bytes | None
    routes: tuple[PodRoute, ...] = ()
    gateways: tuple[AnyAddress, ...] = ()
