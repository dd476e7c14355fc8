# SPDX-License-Identifier: Apache-2.0
"""What the CNI plugin asks on behalf of a container runtime (CNI specification 1.1.0).

The plugin sees to what is between it and the runtime; here, the network configuration is judged.
Each problem carries the specification's error code as `cniCode`.
"""

import time
from collections.abc import Callable, Collection, Mapping
from ipaddress import ip_interface
from typing import Annotated, Any, Protocol, TypeVar

from fastapi import APIRouter, Response
from pydantic import Field, ValidationError

from sixlane.agent.cni_requests import Command
from sixlane.agent.problems import NotFound
from sixlane.api.answers import answer
from sixlane.api.body import JSON, parse_json_object
from sixlane.api.cni_config import (
    NetworkConfiguration,
    asked_addresses,
    asked_of_pod,
    parse_configuration,
    pod_of,
)
from sixlane.api.describe import body, done, found
from sixlane.api.problem import REFUSED, ProblemError, problem, problem_of
from sixlane.api.resources import Body
from sixlane.errors import ConfigError, KernelError, NotSupported, SixlaneError
from sixlane.model.addresses import AnyAddress
from sixlane.model.problem import from_pydantic, shown
from sixlane.model.resource import Model
from sixlane.pods.attached import Attached, CniCode, PodError
from sixlane.pods.pod import Asked, Attachment

_VERSION = "1.1.0"
_CONFIG = "config"


class Pods(Protocol):
    """The part of the agent that serves pods. All of it may be called again with the same, from
    several threads at once, and raises `SixlaneError`: a `PodError` where the runtime is to be
    told a certain code.

    `network`: the name of the network configuration. An attachment belongs to one.
    """

    def add(self, asked: Asked, network: str) -> Attached:
        """Have the pod what is asked; if it has it already, tell that."""

    def delete(self, attachment: Attachment, netns: str | None) -> None:
        """Take away all that the attachment has. `netns`: None where it is not known any more."""

    def check(self, asked: Asked, network: str) -> Attached:
        """What the pod has, if it is all there; raises `PodError` if not."""

    def gc(self, valid: Collection[Attachment], network: str) -> None:
        """Delete those attachments of the network that are not among these."""

    def status(self) -> None:
        """Raises `PodError` if no pod could be added."""

    def note(self, command: Command, result: str, seconds: float) -> None:
        """For the metrics: what was asked, what came of it, and how long that took."""


ContainerId = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=512, examples=["4f1e0c"])
]
Ifname = Annotated[
    str, Field(pattern=r"^[^/:\s]+$", min_length=1, max_length=15, examples=["eth0"])
]
Netns = Annotated[
    str, Field(pattern="^/", max_length=4096, examples=["/run/netns/pod7"], description="Its path.")
]
NetworkName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", examples=["pods"])]
_Ignored = Annotated[Any, Field(description="Not looked at.")]


class CniAddBody(Model):
    """What a runtime asks for. `args`: CNI_ARGS. `config`: the network configuration."""

    container_id: ContainerId
    netns: Netns
    ifname: Ifname
    args: Annotated[dict[str, str], Field(default_factory=dict)]
    config: dict[str, Any]
    prev_result: Annotated[
        dict[str, Any] | None, Field(description="Of CHECK: what ADD has told.")
    ] = None

    @property
    def attachment(self) -> Attachment:
        return Attachment(self.container_id, self.ifname)


class CniDelBody(Model):
    """What is to go; also if nothing else is known of it any more."""

    container_id: ContainerId
    netns: Annotated[str | None, Field(description="Its path; null: not known.")] = None
    ifname: Ifname
    args: _Ignored = None
    config: _Ignored = None
    prev_result: _Ignored = None


class CniAttachment(Model):
    """An interface of a container."""

    container_id: Annotated[ContainerId, Field(alias="containerID")]
    ifname: Ifname


class CniGcBody(Model):
    """The attachments of a network that stay."""

    network: NetworkName
    valid_attachments: Annotated[tuple[CniAttachment, ...], Field(strict=False)]


class CniStatusBody(Model):
    """`config`: the network configuration."""

    config: dict[str, Any]


BODIES = (CniAddBody, CniDelBody, CniGcBody, CniStatusBody)
_Shape = TypeVar("_Shape", bound=Model)


def routes(pods: Pods) -> APIRouter:
    router = APIRouter(tags=["pods"])
    refusals = (404, 413, 415, 422, 501, 503)

    @router.post(
        "/v1/cni/add",
        operation_id="cniAdd",
        responses=found("CniResult", *refusals),
        openapi_extra=body(JSON, "CniAddBody"),
    )
    def add(content: Body) -> Response:
        """Connect a pod. The same again tells the same again."""

        def do() -> Response:
            asked, config = _asked(_parsed(CniAddBody, content))
            return answer(result_of(asked, pods.add(asked, config.name), config))

        return _answered(pods, "ADD", do)

    @router.post(
        "/v1/cni/check",
        operation_id="cniCheck",
        responses=done(*refusals),
        openapi_extra=body(JSON, "CniAddBody"),
    )
    def check(content: Body) -> Response:
        """Whether a pod has what `prevResult` tells."""

        def do() -> None:
            given = _parsed(CniAddBody, content)
            asked, config = _asked(given)
            compare(asked, pods.check(asked, config.name), given.prev_result or {})

        return _answered(pods, "CHECK", do)

    @router.post(
        "/v1/cni/del",
        operation_id="cniDel",
        responses=done(*refusals),
        openapi_extra=body(JSON, "CniDelBody"),
    )
    def delete(content: Body) -> Response:
        """Disconnect a pod; no problem if there is nothing of it."""

        def do() -> None:
            given = _parsed(CniDelBody, content)
            pods.delete(Attachment(given.container_id, given.ifname), given.netns)

        return _answered(pods, "DEL", do)

    @router.post(
        "/v1/cni/gc",
        operation_id="cniGc",
        responses=done(*refusals),
        openapi_extra=body(JSON, "CniGcBody"),
    )
    def gc(content: Body) -> Response:
        """Disconnect the pods of a network that are not among those that stay."""

        def do() -> None:
            given = _parsed(CniGcBody, content)
            valid = [Attachment(one.container_id, one.ifname) for one in given.valid_attachments]
            pods.gc(valid, given.network)

        return _answered(pods, "GC", do)

    @router.post(
        "/v1/cni/status",
        operation_id="cniStatus",
        responses=done(*refusals),
        openapi_extra=body(JSON, "CniStatusBody"),
    )
    def status(content: Body) -> Response:
        """Whether a pod could be connected now."""

        def do() -> None:
            parse_configuration(_parsed(CniStatusBody, content).config)
            pods.status()

        return _answered(pods, "STATUS", do)

    return router


def _asked(given: CniAddBody) -> tuple[Asked, NetworkConfiguration]:
    config = parse_configuration(given.config)
    of_pod = asked_of_pod(config)
    asked = Asked(
        given.attachment,
        given.netns,
        pod_of(given.args),
        of_pod.pool or config.pool,
        asked_addresses(config, given.args),
        of_pod.device or config.device,
        of_pod.mtu or config.mtu,
    )
    return asked, config


def result_of(asked: Asked, attached: Attached, config: NetworkConfiguration) -> dict[str, Any]:
    """A result of 1.1.0: first the end on the host, then the pod's, which has the addresses."""
    lease = attached.lease
    interfaces = [
        {"name": lease.host_device, **_mac(attached.host_mac), "mtu": lease.mtu},
        {
            "name": asked.attachment.ifname,
            **_mac(attached.mac),
            "mtu": lease.mtu,
            "sandbox": asked.netns,
        },
    ]
    gateways = {gateway.version: str(gateway) for gateway in attached.gateways}
    ips = [
        {
            "interface": 1,
            "address": f"{address}/{address.max_prefixlen}",
            **({"gateway": gateways[address.version]} if address.version in gateways else {}),
        }
        for address in _addresses(attached)
    ]
    routes = [
        {"dst": str(route.to), **({"gw": str(route.via)} if route.via is not None else {})}
        for route in attached.routes
    ]
    return {
        "cniVersion": _VERSION,
        "interfaces": interfaces,
        "ips": ips,
        "routes": routes,
        "dns": config.dns.as_data(),
    }


def compare(asked: Asked, attached: Attached, told: Mapping[str, Any]) -> None:
    """Raises `PodError` if what the pod has is not what ADD has told. Others may have added to it:
    later plugins of the list may.
    """
    ifname, lease = asked.attachment.ifname, attached.lease
    interfaces = _list(told, "interfaces")
    ours = [
        at
        for at, one in enumerate(interfaces)
        if (one.get("name"), one.get("sandbox")) == (ifname, asked.netns)
    ]
    if not ours:
        raise _not_as_told(f"prevResult has no interface {ifname} in {asked.netns}")
    _compare_mac(ifname, interfaces[ours[0]], attached.mac)
    for one in interfaces:
        if one.get("name") == lease.host_device and not one.get("sandbox"):
            _compare_mac(lease.host_device, one, attached.host_mac)
    there = {
        _address(one.get("address"))
        for one in _list(told, "ips")
        if one.get("interface") in (*ours, None)
    }
    for address in _addresses(attached):
        if address not in there:
            raise _not_as_told(f"the pod has {address}, which is not in prevResult")


def _compare_mac(name: str, told: Mapping[str, Any], mac: bytes | None) -> None:
    before = told.get("mac")
    if before and mac is not None and str(before).lower() != mac.hex(":"):
        raise _not_as_told(f"{name} has the MAC {mac.hex(':')}, and {shown(before)} in prevResult")


def _not_as_told(what: str) -> PodError:
    return PodError(CniCode.NOT_AS_TOLD, what, "the pod has to be made anew")


def _list(told: Mapping[str, Any], member: str) -> list[Mapping[str, Any]]:
    items = told.get(member) or []
    if not isinstance(items, list) or not all(isinstance(one, dict) for one in items):
        what = f"prevResult.{member} is not a list of objects"
        raise PodError(CniCode.INVALID_CONFIGURATION, what)
    return items


def _address(text: object) -> AnyAddress:
    try:
        return ip_interface(str(text)).ip
    except ValueError:
        what = f"prevResult.ips: {shown(text)} is not an address"
        raise PodError(CniCode.INVALID_CONFIGURATION, what) from None


def _addresses(attached: Attached) -> list[AnyAddress]:
    """All that the pod has; its own come first, as runtimes take the first for the pod's."""
    egress = attached.lease.egress
    return [*attached.lease.addresses, *([egress] if egress is not None else [])]


def _mac(mac: bytes | None) -> dict[str, str]:
    return {} if mac is None else {"mac": mac.hex(":")}


def _parsed(shape: type[_Shape], content: bytes) -> _Shape:
    """Raises `ProblemError` and `PodError`."""
    try:
        return shape.model_validate(parse_json_object(content))
    except ValidationError as error:
        wrong = from_pydantic(error)
        of_config = wrong.path[:1] == (_CONFIG,)
        code = CniCode.INVALID_CONFIGURATION if of_config else CniCode.INVALID_ENVIRONMENT
        raise PodError(code, wrong.message, wrong.hint) from None


def _answered(pods: Pods, command: Command, do: Callable[[], Response | None]) -> Response:
    """What `do` answers, or 204; or the problem that it raises, with the code for the runtime."""
    began, result = time.monotonic(), CniCode.DEFECT.name
    try:
        response, code = _done(do)
        result = code.name if code else "ok"
        return response
    finally:
        pods.note(command, result.lower(), time.monotonic() - began)


def _done(do: Callable[[], Response | None]) -> tuple[Response, CniCode | None]:
    """The answer, and the code that it has; None: that of a success has none."""
    try:
        return do() or Response(status_code=204), None
    except PodError as error:
        status, title = _TOLD.get(error.code, (REFUSED, "Refused"))
        told = problem(status, "pod", title, error.message, error.hint, cniCode=error.code)
        return told, error.code
    except SixlaneError as error:
        code = code_of(error)
        return problem_of(error, cniCode=code), code
    except ProblemError as error:
        code = CniCode.DECODING_FAILURE
        return error.with_members(cniCode=code).response, code


_TOLD: Mapping[CniCode, tuple[int, str]] = {
    CniCode.UNKNOWN_CONTAINER: (404, "No such container"),
    CniCode.IO_FAILURE: (500, "Failed"),
    CniCode.TRY_AGAIN_LATER: (503, "Not now"),
    CniCode.NOT_AVAILABLE: (503, "No pod can be served"),
    CniCode.LIMITED: (503, "No pod can be served, and those that are there are limited"),
    CniCode.DEFECT: (500, "Failed"),
    CniCode.KERNEL: (500, "The kernel refused"),
}

_CODES: tuple[tuple[type[SixlaneError], CniCode], ...] = (
    (NotFound, CniCode.INVALID_CONFIGURATION),  # a pool: of an unknown container, it has to be said
    (ConfigError, CniCode.INVALID_CONFIGURATION),
    (NotSupported, CniCode.INVALID_CONFIGURATION),
    (KernelError, CniCode.KERNEL),
)


def code_of(error: SixlaneError) -> CniCode:
    """Of what the agent raises without a thought of CNI."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), CniCode.DEFECT)
