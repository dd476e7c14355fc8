# SPDX-License-Identifier: Apache-2.0
"""The shapes of answers, for the OpenAPI document and the tests of it."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from sixlane.model import Eam, Prefix
from sixlane.model.dns64 import Dns64Spec
from sixlane.model.gateway import GatewaySpec
from sixlane.model.network import NetworkSpec
from sixlane.model.service import ServiceSpec

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Version = Annotated[str, Field(examples=["17"])]
_API_VERSION = Literal["sixlane.dev/v1alpha1"]


class Shape(BaseModel):
    """An answer: exactly these keys."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")


class Condition(Shape):
    """One thing that is well, or not."""

    type: Annotated[str, Field(examples=["Ready"])]
    status: Literal["True", "False", "Unknown"]
    reason: Annotated[str, Field(description="A word for programs, in CamelCase.")]
    message: Annotated[str, Field(description="For people.")]
    last_transition_time: Time
    observed_generation: int


class Name(Shape):
    """What names a resource."""

    kind: Literal["Gateway", "Dns64", "Service", "Network"]
    name: str


class ViewMetadata(Shape):
    """Its name, and what the agent knows about its changes."""

    name: str
    generation: Annotated[int, Field(ge=1, description="How often the spec was changed, from 1.")]
    resource_version: Annotated[
        Version, Field(description="The revision in which it last changed; opaque.")
    ]


class ViewStatus(Shape):
    """What the agent sees of it; kinds add keys of their own."""

    model_config = ConfigDict(extra="allow")

    observed_generation: Annotated[
        int, Field(ge=0, description="The last generation that was in force; 0: none.")
    ]
    conditions: list[Condition]


class GatewayView(Shape):
    """A Gateway: what is desired, and how it does."""

    api_version: _API_VERSION
    kind: Literal["Gateway"]
    metadata: ViewMetadata
    spec: GatewaySpec
    status: ViewStatus


class Dns64View(Shape):
    """A Dns64: what is desired, and how it does."""

    api_version: _API_VERSION
    kind: Literal["Dns64"]
    metadata: ViewMetadata
    spec: Dns64Spec
    status: ViewStatus


class ServiceView(Shape):
    """A Service: what is desired, and how it does."""

    api_version: _API_VERSION
    kind: Literal["Service"]
    metadata: ViewMetadata
    spec: ServiceSpec
    status: ViewStatus


class NetworkView(Shape):
    """A Network: what is desired, and how it does."""

    api_version: _API_VERSION
    kind: Literal["Network"]
    metadata: ViewMetadata
    spec: NetworkSpec
    status: ViewStatus


AnyView = Annotated[
    GatewayView | Dns64View | ServiceView | NetworkView, Field(discriminator="kind")
]
Revision = Annotated[int, Field(ge=0, description="Of the whole: how often it was changed.")]


class Listing(Shape):
    """Resources of all kinds."""

    revision: Revision
    items: list[AnyView]


class GatewayListing(Shape):
    """All Gateways."""

    revision: Revision
    items: list[GatewayView]


class Dns64Listing(Shape):
    """All Dns64."""

    revision: Revision
    items: list[Dns64View]


class ServiceListing(Shape):
    """All Services."""

    revision: Revision
    items: list[ServiceView]


class NetworkListing(Shape):
    """All Networks."""

    revision: Revision
    items: list[NetworkView]


class PrefixListing(Shape):
    """The prefixes of a Gateway that is at `resourceVersion`."""

    resource_version: Version
    items: list[Prefix]


class EamListing(Shape):
    """The mappings of a prefix, whose Gateway is at `resourceVersion`."""

    resource_version: Version
    items: list[Eam]


class Touched(Shape):
    """What a change did to one resource; of one that is gone there is no generation."""

    kind: Literal["Gateway", "Dns64", "Service", "Network"]
    name: str
    outcome: Literal["created", "changed", "unchanged", "deleted"]
    generation: int = 1
    resource_version: Version = ""


class BackendTouched(Shape):
    """What a change did to one backend."""

    service: str
    address: str
    port: Annotated[int, Field(description="Of its own; left out: it has none.")] = 0
    outcome: Literal["created", "changed", "unchanged", "deleted"]


class Deleted(Shape):
    """A resource that is no more."""

    kind: Literal["Gateway", "Dns64", "Service", "Network"]
    name: str
    deleted: Literal[True]


class Applied(Shape):
    """What a change did; or in a dry run, would do."""

    revision: Revision
    dry_run: bool
    resources: list[Touched]
    changes: Annotated[
        list[str], Field(description="What was done to the machine, one line each, for people.")
    ]
    warnings: Annotated[
        list[str],
        Field(description="What is allowed and may surprise in these resources, for people."),
    ]
    backends: Annotated[
        list[BackendTouched],
        Field(description="Backends that were named by themselves, in that order; or left out."),
    ] = []
    after: Annotated[
        list[AnyView | Deleted],
        Field(description="The resources afterwards; of dry runs and of changes of one resource."),
    ] = []


class HistoryEntry(Shape):
    """One change of the whole."""

    revision: Revision
    time: Time
    summary: list[str]


class History(Shape):
    """The last changes, newest first."""

    revision: Revision
    items: list[HistoryEntry]


class Count(Shape):
    """Since the data path was loaded."""

    packets: Annotated[int, Field(ge=0)]
    bytes: Annotated[int, Field(ge=0)]


class DirectionCounts(Shape):
    """46: IPv4 in, IPv6 out. 64: the other way."""

    from_ipv4: Annotated[Count, Field(alias="46")]
    from_ipv6: Annotated[Count, Field(alias="64")]


class Traffic(Shape):
    """Packets that are counted together."""

    prefix: Annotated[
        str | None, Field(description="null: left before it is known which one serves them.")
    ]
    direction: Annotated[Literal["46", "64"], Field(description="By the family they came in as.")]
    protocol: Literal["tcp", "udp", "icmp", "other"]
    reason: Annotated[str, Field(examples=["forward_64"])]
    packets: Annotated[int, Field(ge=1)]
    bytes: Annotated[int, Field(ge=0, description="Of layer 3, as received.")]


class Counters(Shape):
    """`reasons`: by why packets left the pipeline. `prefixes`: by name and direction. `traffic`:
    by all of that and protocol; what is zero is left out."""

    reasons: dict[str, Count]
    prefixes: dict[str, DirectionCounts]
    traffic: list[Traffic]


_BackendState = Annotated[
    Literal["active", "terminating", "maintenance", "quarantined"],
    Field(
        description="In force; `quarantined`: it fails its checks, or its time to drain is over."
    ),
]


class Carried(Shape):
    """What went to a backend since it came to its service."""

    packets: Annotated[int, Field(ge=0)]
    bytes: Annotated[int, Field(ge=0, description="Of layer 3, as received.")]
    new_flows: Annotated[int, Field(ge=0)]
    active_flows: Annotated[
        int,
        Field(
            ge=0,
            description="That go on; with `mode: dsr` and `sessionAffinity: ClientIP`, clients.",
        ),
    ]


class BackendStatus(Carried):
    """How a backend does, and what it gets."""

    state: _BackendState
    share: Annotated[
        float | None,
        Field(ge=0, le=1, description="Of new flows: of the entries of the Maglev table."),
    ]


class BackendHealth(Shape):
    """What is known of a backend by its checks."""

    verdict: Literal["unknown", "well", "quarantined"]
    since: Time
    way: Annotated[
        Literal["tunnel", "direct"],
        Field(description="How it is checked: as flows go, or at its own address."),
    ]
    result: Annotated[str, Field(description="The last one, in words; empty: none yet.")]
    well: Annotated[bool | None, Field(description="The last one; null: none yet.")]
    latency_seconds: Annotated[
        float | None, Field(ge=0, description="Of the last answer; null: there was none.")
    ]
    checked_at: Time | None
    damped: Annotated[bool, Field(description="It stays quarantined for a time, as it flapped.")]


class BackendView(Shape):
    """A backend: as desired, and how it does."""

    address: Annotated[str, Field(examples=["2001:db8:64:1::7"])]
    port: Annotated[int, Field(description="Of its own; left out: it has none.")] = 0
    weight: Annotated[int, Field(ge=0)]
    state: Annotated[
        Literal["active", "terminating", "maintenance"], Field(description="As desired.")
    ]
    drain_until: Annotated[Time, Field(description="When its flows end; left out: never.")] = ""
    status: Annotated[BackendStatus | None, Field(description="null: the Service is not in force.")]
    health: Annotated[BackendHealth | None, Field(description="null: it is not checked.")]


class BackendListing(Shape):
    """The backends of a Service that is at `resourceVersion`."""

    resource_version: Version
    items: list[BackendView]


class BackendStates(Shape):
    """How many backends there are in each state."""

    active: Annotated[int, Field(ge=0)]
    terminating: Annotated[int, Field(ge=0)]
    maintenance: Annotated[int, Field(ge=0)]
    quarantined: Annotated[int, Field(ge=0)]


class ServiceCount(Carried):
    """What a Service carries, all frontends together."""

    service: str
    states: BackendStates
    dropped: Count
    drops: Annotated[
        dict[str, Count], Field(description="The same by reason, as far as there were any.")
    ]


class ServiceCounts(Shape):
    """What each Service in force carries."""

    items: list[ServiceCount]


class FrontendCounters(Shape):
    """What came to a frontend."""

    address: str
    port: int
    protocol: Literal["TCP", "UDP"]
    packets: Annotated[int, Field(ge=0, description="That were sent on to a backend.")]
    bytes: Annotated[int, Field(ge=0)]
    new_flows: Annotated[int, Field(ge=0)]
    dropped: Count
    drops: dict[str, Count]


class BackendCounters(Carried):
    """What went to a backend."""

    address: str
    port: Annotated[int, Field(description="Of its own; left out: it has none.")] = 0
    state: _BackendState


class ServiceCounters(ServiceCount):
    """The same, with each frontend and backend in force."""

    frontends: list[FrontendCounters]
    backends: list[BackendCounters]


_Protocol = Literal["tcp", "udp", "icmp"]
_Port = Annotated[int, Field(ge=0, le=65535)]
_Inside = Annotated[str, Field(description="IPv6 address.", examples=["2001:db8:64:1::7"])]
_PoolAddress = Annotated[str, Field(description="Of pool4.", examples=["192.31.197.8"])]
_State = Annotated[
    Literal[
        "OPEN",
        "V4 INIT",
        "V6 INIT",
        "ESTABLISHED",
        "V4 FIN RCV",
        "V6 FIN RCV",
        "V4 FIN + V6 FIN RCV",
        "TRANS",
    ],
    Field(description="As RFC 6146 3.5.2.2 names it; OPEN: UDP and ICMP, which have none there."),
]


class Session(Shape):
    """A session that lives. Of ICMP queries, ports are identifiers and `remotePort` is 0."""

    protocol: _Protocol
    inside: _Inside
    inside_port: _Port
    pool: _PoolAddress
    pool_port: _Port
    remote: Annotated[str, Field(description="IPv4 address.", examples=["192.31.196.53"])]
    remote_port: _Port
    prefix: Annotated[
        str | None,
        Field(description="Of pool6, under which the remote end is called; null: it is gone."),
    ]
    state: _State
    remaining_seconds: Annotated[float, Field(description="That it lives without a packet.")]


class Binding(Shape):
    """An entry of a BIB (RFC 6146 3.1)."""

    protocol: _Protocol
    inside: _Inside
    inside_port: _Port
    pool: _PoolAddress
    pool_port: _Port
    sessions: Annotated[int, Field(ge=0, description="That live.")]
    static: Annotated[bool, Field(description="It stays without any session.")]


class PoolClient(Shape):
    """Whoever shares the first bits of an address: with one address and port blocks in pool4."""

    prefix: Annotated[str, Field(examples=["2001:db8:64:1::/64"])]
    pool: Annotated[str, Field(description="Name of the entry of pool4.")]
    address: _PoolAddress
    blocks: Annotated[
        list[str], Field(description="First and last port of each.", examples=[["1024-1087"]])
    ]
    bindings: Annotated[
        int, Field(ge=0, description="A port each. What has ended counts until it is swept.")
    ]
    sessions: Annotated[int, Field(ge=0, description="As with bindings.")]


class SessionsOfKind(Shape):
    """Sessions that are counted together."""

    protocol: _Protocol
    state: _State
    sessions: Annotated[int, Field(ge=1)]


class Use(Shape):
    """Of what has a limit."""

    used: Annotated[int, Field(ge=0)]
    room: Annotated[int, Field(ge=0)]


class ProtocolPorts(Shape):
    """Ports that are taken."""

    tcp: Use
    udp: Use
    icmp: Annotated[Use, Field(description="Identifiers.")]


class PoolUse(Shape):
    """An address of pool4."""

    address: _PoolAddress
    ports: ProtocolPorts
    blocks: Annotated[Use, Field(description="That clients have.")]


class SessionCount(Shape):
    """`sessions`: those that live; what there is none of is left out. `tables`: by name, also with
    what has ended and is not swept yet. All of it is empty without a pool4."""

    sessions: list[SessionsOfKind]
    tables: dict[str, Use]
    pool4: list[PoolUse]


class ExportedSession(Session):
    """A session for another gateway; `prefix` is the pool6 prefix itself. On the first line there
    are `kind`, `version` and `exportedAt` instead, on the last one `sessions`."""

    prefix: Annotated[str, Field(description="Of pool6.", examples=["64:ff9b::/96"])]


class RefusedSession(Shape):
    """One that was not carried."""

    line: int
    result: str


class Imported(Shape):
    """How many sessions: `made`, `present` (there already), and those that were not carried.

    `refused`: the first of those.
    """

    made: int
    present: int
    not_pool4: Annotated[
        int, Field(description="Clients like that one do not get its address, or its port, here.")
    ]
    not_pool6: Annotated[int, Field(description="There is no such prefix here.")]
    conflict: Annotated[
        int,
        Field(
            description="One of its ends is bound to another one, or its port's block is another "
            "client's."
        ),
    ]
    limited: Annotated[
        int, Field(description="Its client has all the blocks or sessions that it may have.")
    ]
    no_room: Annotated[int, Field(description="A table is full.")]
    refused: list[RefusedSession]


class Drop(Shape):
    """A dropped packet; or with `lost` alone, how many more there were."""

    time: Time = ""
    reason: Annotated[str, Field(examples=["drop_ttl_expired"])] = ""
    device: str = ""
    entry: Annotated[str, Field(examples=["tc"])] = ""
    bytes: Annotated[int, Field(ge=0, description="Of layer 3.")] = 0
    src: Annotated[str | None, Field(description="null: could not be read.")] = None
    dst: str | None = None
    protocol: Annotated[str | None, Field(examples=["udp"])] = None
    src_port: int = 0
    dst_port: int = 0
    icmp_type: int = 0
    icmp_code: int = 0
    fragment: bool = False
    head: Annotated[str, Field(description="The first bytes, in hexadecimal.")] = ""
    summary: Annotated[str, Field(description="One line, for people.")] = ""
    lost: Annotated[int, Field(ge=0, description="Too many for the reader.")] = 0
    limited: Annotated[int, Field(ge=0, description="Over the rate that is collected.")] = 0


class CapturedFrame(Shape):
    """A frame, or its beginning."""

    bytes: Annotated[int, Field(ge=0, description="How long it was.")]
    hex: Annotated[str, Field(description="What was kept of it, from the link header on.")]
    summary: Annotated[str, Field(description="One line, for people.")]


class Packet(Shape):
    """A captured packet; or with `limited` and `lost` alone, how many more there were."""

    time: Time = ""
    device: str = ""
    entry: Annotated[str, Field(examples=["tc"])] = ""
    outcome: Literal["sent", "dropped", "passed"] = "sent"
    reasons: Annotated[list[str], Field(examples=[["drop_ttl_expired", "icmp_error_sent"]])] = []
    before: CapturedFrame | None = None
    after: Annotated[CapturedFrame | None, Field(description="What left; null: nothing.")] = None
    pool4: Annotated[
        str | None,
        Field(
            description="Address and port (of pings, identifier) of pool4 that it came to or left "
            "from: its session's.",
            examples=["192.31.197.8:40001"],
        ),
    ] = None
    limited: Annotated[int, Field(ge=0, description="Over the rate.")] = 0
    lost: Annotated[int, Field(ge=0, description="Too many for the reader.")] = 0


class TracedPacket(Shape):
    """A packet, and what of it can be read."""

    summary: Annotated[str, Field(description="One line, for people.")]
    fields: Annotated[dict[str, str], Field(description="Of its headers, by name.")]
    hex: Annotated[str, Field(description="The frame, in hexadecimal.")]
    link_bytes: Annotated[int, Field(ge=12, description="That lie before layer 3.")]


class Trace(Shape):
    """What would become of one packet."""

    number: Annotated[int, Field(ge=0, description="Which one of those asked for.")]
    device: str
    entry: Annotated[str, Field(examples=["tc"])]
    verdict: Literal["sent", "cut", "answered", "dropped", "passed"]
    reasons: Annotated[list[str], Field(examples=[["forward_64"]])]
    steps: Annotated[list[str], Field(description="In order, for people.")]
    before: TracedPacket
    after: Annotated[TracedPacket | None, Field(description="What leaves; null: nothing.")]


class Traces(Shape):
    """One for each packet."""

    items: list[Trace]


class Pod(Shape):
    """What an interface of a pod has. `namespace`, `name`: as Kubernetes calls the pod; null: it is
    none of Kubernetes'."""

    container_id: str
    ifname: str
    namespace: str | None
    name: str | None
    netns: Annotated[str, Field(description="The path of its network namespace.")]
    pool: str
    addresses: Annotated[list[str], Field(description="Its own, IPv6 first.")]
    egress: Annotated[
        str | None,
        Field(description="What stands for its IPv4 address, by which it is let out; null: none."),
    ]
    device: Literal["veth", "netkit", "netkit-l2"]
    host_device: Annotated[str, Field(description="The name of the device's end on the node.")]
    mtu: int
    ready: Annotated[bool, Field(description="False while it is being made.")]


class PodListing(Shape):
    """All pods of the node, by container."""

    items: list[Pod]


class BigTcpReasons(Shape):
    """Why a device has the sizes that it has, for people: of each family."""

    ipv6: Annotated[str, Field(examples=["as asked"])]
    ipv4: Annotated[str, Field(examples=["limited by the device's maximum of 65536"])]


class BigTcpDevice(Shape):
    """How large packets may be on an uplink or an end of a pod's device, in bytes with headers.
    `containerId`, `namespace`, `name`: the pod whose device it is; null: none, or none of
    Kubernetes'. Sizes for IPv4 are null where the kernel has none."""

    device: Annotated[str, Field(description="Its name where it is.")]
    role: Annotated[
        Literal["uplink", "lower", "host-end", "pod-end"],
        Field(description="`lower`: an uplink sends by it; a pod's device has its ends there."),
    ]
    container_id: str | None
    namespace: str | None
    name: str | None
    netns: Annotated[
        str | None,
        Field(description="The path of the network namespace that it is in; null: the node's."),
    ]
    gso: Annotated[int | None, Field(description="Of IPv6 packets that it is handed.")]
    gro: Annotated[int | None, Field(description="Of IPv6 packets made of what it received.")]
    gso_ipv4: int | None
    gro_ipv4: int | None
    maximum: Annotated[int, Field(description="How much its driver can do.")]
    ipv6_mtu: Annotated[
        int | None,
        Field(description="Of a pod's end: what the pod takes to be its MTU of IPv6."),
    ]
    why: BigTcpReasons


class BigTcpListing(Shape):
    """Uplinks first, then both ends of each pod's device; none without a Network."""

    items: list[BigTcpDevice]


class TornDown(Shape):
    """`lost`: what could not be restored, one line each."""

    lost: list[str]


class AgentStatus(Shape):
    """What is in force, and what is out of order."""

    model_config = ConfigDict(extra="allow")

    version: str
    pid: int
    uptime_seconds: Annotated[int, Field(ge=0)]
    problems: Annotated[list[str], Field(description="Empty if all is well.")]


class Problem(Shape):
    """RFC 9457."""

    type: Annotated[str, Field(pattern="^urn:sixlane:problem:[a-z-]+$")]
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: Annotated[str, Field(description="What, and where.")]
    hint: Annotated[str, Field(description="How to mend it; may be empty.")]
    what: Annotated[str, Field(description="The detail without the place.")] = ""
    resource: Annotated[int, Field(ge=0, description="Which one of those sent.")] = 0
    path: Annotated[
        list[str | int], Field(description="Keys and indices that lead to the value.")
    ] = []
    resource_version: Annotated[
        str, Field(description="Of a conflict: the version that is there.")
    ] = ""
    cni_code: Annotated[
        int, Field(ge=0, le=999, description="Of pods: the error code of the CNI specification.")
    ] = 0


class CniInterface(Shape):
    """A device of a pod, or its end on the host, which has no `sandbox`."""

    name: str
    mac: str = ""
    mtu: Annotated[int, Field(ge=68)]
    sandbox: Annotated[str, Field(description="The path of the network namespace.")] = ""


class CniIp(Shape):
    """An address of a pod, and its default gateway."""

    interface: Annotated[int, Field(ge=0, description="Which one of the interfaces has it.")]
    address: Annotated[str, Field(examples=["2001:db8:64:1::7/128"])]
    gateway: str = ""


class CniRoute(Shape):
    """A route of a pod."""

    dst: Annotated[str, Field(examples=["::/0"])]
    gw: str = ""


class CniResult(Shape):
    """What an ADD has made (CNI specification 1.1, section 5)."""

    cni_version: Literal["1.1.0"]
    interfaces: list[CniInterface]
    ips: list[CniIp]
    routes: list[CniRoute]
    dns: Annotated[dict[str, str | list[str]], Field(description="As the configuration has it.")]


class Finding(Shape):
    """One thing that was looked at; docs/reference/doctor.md has them all."""

    name: Annotated[str, Field(examples=["tcx"])]
    status: Literal["ok", "missing", "warning", "problem"]
    what: Annotated[str, Field(description="What was found.")]
    costs: Annotated[str, Field(description="What that costs; empty if it is ok.")]
    hint: Annotated[str, Field(description="How to mend it; may be empty.")]


class Diagnosis(Shape):
    """All findings."""

    checks: list[Finding]


class Health(Shape):
    """It takes and does jobs."""

    healthy: Literal[True]


class Event(Shape):
    """What the data of an event of `/v1/watch` holds; `synced` has `resources` alone."""

    type: Literal["put", "deleted", "synced"]
    revision: Revision
    resource: Annotated[
        AnyView | Name,
        Field(description="The resource; of a deleted one, only what names it."),
    ]
    resources: Annotated[list[Name], Field(description="All that there are.")]


class HealthTask(Shape):
    """A check that is to be made of a backend: packets go to `address`.

    `mark`: of packets that go by the backend's tunnel; null: they need none. `statuses`: of HTTP,
    the first and the last that is well. `verdict`: what holds at present.
    """

    id: str
    type: Literal["tcp", "http", "https", "grpc", "icmp"]
    backend: str
    address: str
    port: int
    mark: int | None
    path: str
    host: str
    statuses: list[int]
    interval_seconds: int
    timeout_seconds: int
    rise: int
    fall: int
    verdict: Literal["unknown", "well", "quarantined"]


class HealthTasks(Shape):
    """`whole`: these tasks and no others; else what changed behind the version that was named, and
    `gone`, what is no more. `version` is to be named next."""

    version: str
    whole: bool
    tasks: list[HealthTask]
    gone: list[str]


class HealthTaken(Shape):
    """Whether the version is one of this agent's. If not, all is to be asked and told anew."""

    known: bool
