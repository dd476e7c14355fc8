# SPDX-License-Identifier: Apache-2.0
"""The network configuration of a runtime (CNI specification 1.1.0), and what pods ask for in it.

What all pods of a configuration have is in its own keys. What one pod asks for comes by what CNI's
conventions have for it: CNI_ARGS, `args`, and the capabilities that the configuration grants.
"""

import json
from collections.abc import Mapping
from ipaddress import ip_interface
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from sixlane.model.addresses import AnyAddress
from sixlane.model.problem import from_pydantic, likely, path_text, shown
from sixlane.pods.attached import CniCode, PodError
from sixlane.pods.pod import DeviceChoice, PodName

LOWEST_MTU, HIGHEST_MTU = 1280, 65535  # IPv6 needs the first (RFC 8200, section 5)

IPS = "ips"
ANNOTATIONS = "io.kubernetes.cri.pod-annotations"
_CAPABILITIES = (IPS, ANNOTATIONS)
_OURS = "sixlane.dev/"  # annotations
_RUNTIMES = "cni.dev/"  # keys that runtimes put into configurations

_KNOWN_ARGUMENTS = {
    "IP",
    "K8S_POD_INFRA_CONTAINER_ID",
    "K8S_POD_NAME",
    "K8S_POD_NAMESPACE",
    "K8S_POD_UID",
    "IgnoreUnknown",
}

Mtu = Annotated[int, Field(ge=LOWEST_MTU, le=HIGHEST_MTU)]
_Texts = list[Annotated[str, Field(max_length=1024)]]


class _Part(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", strict=True, frozen=True, populate_by_name=True
    )


_Shape = TypeVar("_Shape", bound=_Part)


class Dns(_Part):
    """What resolvers in the pod are to know; told on as it is."""

    nameservers: _Texts = []
    domain: str = ""
    search: _Texts = []
    options: _Texts = []

    def as_data(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)


class NetworkConfiguration(_Part):
    """What `parse_configuration` reads."""

    cni_version: str
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    type: str = ""
    args: dict[str, Any] | None = None
    capabilities: dict[str, bool] = {}
    runtime_config: dict[str, Any] = {}
    dns: Dns = Dns()
    ipam: dict[str, Any] | None = None
    ip_masq: bool = False
    pool: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    device: DeviceChoice | None = None
    mtu: Mtu | None = None


class AskedOfPod(_Part):
    """What annotations of a pod ask for, where the configuration grants that."""

    pool: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    addresses: str | None = None
    device: DeviceChoice | None = None
    mtu: Annotated[Mtu, Field(strict=False)] | None = None


_ADDRESSES = TypeAdapter(list[str], config=ConfigDict(strict=True))
_TEXTS_BY_NAME = TypeAdapter(dict[str, str], config=ConfigDict(strict=True))


def parse_configuration(config: Mapping[str, Any]) -> NetworkConfiguration:
    """Raises `PodError`: `UNSUPPORTED_FIELD` with key and value for what nobody here sees to."""
    known = {field.alias or name for name, field in NetworkConfiguration.model_fields.items()}
    for key, value in config.items():
        if key not in known and not key.startswith(_RUNTIMES):
            raise _unsupported(key, value, likely(key, known))
    mine = {key: value for key, value in config.items() if key in known}
    parsed = _validated(NetworkConfiguration, mine)
    for capability, is_wanted in parsed.capabilities.items():
        if is_wanted and capability not in _CAPABILITIES:
            hint = likely(capability, _CAPABILITIES)
            raise _unsupported(f"capabilities.{capability}", True, hint)
    if parsed.ip_masq:
        raise _unsupported("ipMasq", True, "pods keep their addresses; a Gateway translates")
    if parsed.ipam:
        raise _unsupported("ipam", parsed.ipam, "the Network's pools have the addresses")
    return parsed


def asked_of_pod(config: NetworkConfiguration) -> AskedOfPod:
    """By its annotations."""
    given = config.runtime_config.get(ANNOTATIONS)
    if given is None:
        return AskedOfPod()
    annotations = _adapted(_TEXTS_BY_NAME, given, f"runtimeConfig.{ANNOTATIONS}")
    ours = {
        key.removeprefix(_OURS): value
        for key, value in annotations.items()
        if key.startswith(_OURS)
    }
    for key, value in ours.items():
        if key not in AskedOfPod.model_fields:
            raise _unsupported(_OURS + key, value, likely(key, AskedOfPod.model_fields))
    return _validated(AskedOfPod, ours, "annotations")


def asked_addresses(
    config: NetworkConfiguration, arguments: Mapping[str, str]
) -> tuple[AnyAddress, ...]:
    """The addresses that the pod must have, from the first place that has any."""
    of_pod, of_args = asked_of_pod(config).addresses, (config.args or {}).get("cni")
    places: tuple[tuple[str, Any], ...] = (
        ("runtimeConfig.ips", config.runtime_config.get(IPS)),
        (_OURS + "addresses", _listed(of_pod)),
        ("args.cni.ips", of_args.get(IPS) if isinstance(of_args, dict) else None),
        ("CNI_ARGS: IP", _listed(arguments.get("IP"))),
    )
    where, given = next(((where, given) for where, given in places if given), ("", []))
    return tuple(_address(text, where) for text in _adapted(_ADDRESSES, given, where))


def pod_of(arguments: Mapping[str, str]) -> PodName | None:
    """The pod's name, if it is one of Kubernetes'. Raises `PodError` for what nobody knows, unless
    the runtime says that it may be ignored, as those of Kubernetes do."""
    if arguments.get("IgnoreUnknown", "").lower() not in ("1", "true"):
        for key in arguments:
            if key not in _KNOWN_ARGUMENTS:
                what = f"CNI_ARGS: unknown key {shown(key)}"
                hint = likely(key, _KNOWN_ARGUMENTS)
                raise PodError(CniCode.INVALID_ENVIRONMENT, what, hint)
    namespace, name = arguments.get("K8S_POD_NAMESPACE"), arguments.get("K8S_POD_NAME")
    if not namespace or not name:
        return None
    return PodName(namespace, name, arguments.get("K8S_POD_UID", ""))


def _listed(text: str | None) -> list[str] | None:
    return [one.strip() for one in text.split(",")] if text else None


def _address(text: str, where: str) -> AnyAddress:
    """A length may stand behind it, as in conventions of CNI, and says nothing here."""
    try:
        return ip_interface(text).ip
    except ValueError:
        what = f"{shown(text)} is not an IP address: {where}"
        raise PodError(CniCode.INVALID_CONFIGURATION, what) from None


def _unsupported(key: str, value: object, hint: str) -> PodError:
    """The specification wants key and value in the message."""
    what = f"unsupported field {shown(key)}: {shown(json.dumps(value, ensure_ascii=False))}"
    return PodError(CniCode.UNSUPPORTED_FIELD, what, hint)


def _validated(shape: type[_Shape], data: Mapping[str, Any], where: str = "") -> _Shape:
    try:
        return shape.model_validate(data)
    except ValidationError as error:
        wrong = from_pydantic(error)
        place = ".".join(part for part in (where, path_text(wrong.path)) if part)
        what = f"{wrong.what}: {place}" if place else wrong.what
        raise PodError(CniCode.INVALID_CONFIGURATION, what, wrong.hint) from None


def _adapted(adapter: TypeAdapter[Any], value: object, where: str) -> Any:
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        wrong = from_pydantic(error)
        raise PodError(CniCode.INVALID_CONFIGURATION, f"{wrong.what}: {where}") from None
