# SPDX-License-Identifier: Apache-2.0
"""The shapes of what the agent answers, for type checkers; at run time they are plain dicts.

Addresses, ranges and times (RFC 3339) are text.
"""

from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypedDict

Outcome = Literal["created", "changed", "unchanged", "deleted"]


class Metadata(TypedDict):
    """`generation` counts changes of the spec, `resourceVersion` is the concurrency token."""

    name: str
    generation: int
    resourceVersion: str


class Condition(TypedDict):
    """One thing that is well, or not: `reason` is a word for programs, `message` for people."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str
    lastTransitionTime: str
    observedGeneration: int


class Status(TypedDict):
    """What the agent saw of a resource; kinds add keys of their own.

    `observedGeneration`: the last generation of the resource that was in force.
    """

    observedGeneration: int
    conditions: list[Condition]


class View(TypedDict):
    """A resource as the agent shows it; `put` takes it too, and ignores `status`."""

    apiVersion: str
    kind: str
    metadata: Metadata
    spec: dict[str, Any]
    status: Status


class Listing(TypedDict):
    """Resources, and the revision of the whole that they are of: where a watch goes on."""

    revision: int
    items: list[View]


class Reference(TypedDict):
    """A resource to delete. `resourceVersion`, if given, must be the present one."""

    kind: str
    name: str
    resourceVersion: NotRequired[str]


class Touched(TypedDict):
    """What a change did to one resource. Of a deleted one there are only the first three keys."""

    kind: str
    name: str
    outcome: Outcome
    generation: NotRequired[int]
    resourceVersion: NotRequired[str]


class BackendTouched(TypedDict):
    """What a change did to one backend."""

    service: str
    address: str
    port: NotRequired[int]
    outcome: Outcome


class Applied(TypedDict):
    """What a change did, or in a dry run would do.

    `changes`: one line for each thing that was done to the machine. `warnings`: one line for each
    that is allowed in these resources and may surprise. `backends`: what became of those that were
    named by themselves, in that order. `after`: the resources afterwards, or
    {"kind", "name", "deleted": True}; in dry runs and changes of one resource.
    """

    revision: int
    dryRun: bool
    resources: list[Touched]
    changes: list[str]
    warnings: list[str]
    backends: NotRequired[list[BackendTouched]]
    after: NotRequired[list[Any]]


class Revision(TypedDict):
    """One change of the whole, that `rollback` can go back to."""

    revision: int
    time: str
    summary: list[str]


class Name(TypedDict):
    kind: str
    name: str


class Event(TypedDict):
    """What a watch sees. `resource`: of "put" the view, of "deleted" only what names it.

    "synced": all that was there before has been told; `resources` names all there are. `resume` is
    what `watch(since)` takes to go on behind this event; None: nothing yet, begin anew.
    """

    type: Literal["put", "deleted", "synced"]
    revision: int
    resource: NotRequired[View]
    resources: NotRequired[list[Name]]
    resume: int | None


class Drop(TypedDict, total=False):
    """A dropped packet; or events that were `lost` or over the rate (`limited`) since the last.

    What could not be read is None, or not there. `head`: the packet's first bytes, in hexadecimal.
    """

    time: str
    reason: str
    device: str
    entry: str
    bytes: int
    src: str | None
    dst: str | None
    protocol: str | None
    srcPort: int
    dstPort: int
    icmpType: int
    icmpCode: int
    fragment: bool
    head: str
    summary: str
    lost: int
    limited: int


class Eam(TypedDict):
    """An explicit address mapping; docs/reference/gateway.md has what it means."""

    ipv4: str
    ipv6: str
    remote: NotRequired[bool]


class Prefix(TypedDict):
    """A prefix of a Gateway; docs/reference/gateway.md has what its keys mean."""

    name: str
    prefix: str
    ipv4: NotRequired[list[str]]
    loadBalancerSourceRanges: NotRequired[list[str] | None]
    maxSegmentSize: NotRequired[int | str | None]
    eam: NotRequired[list[Eam]]


class PrefixListing(TypedDict):
    """`resourceVersion`: of the Gateway."""

    resourceVersion: str
    items: list[Prefix]


class EamListing(TypedDict):
    """`resourceVersion`: of the Gateway."""

    resourceVersion: str
    items: list[Eam]


class Count(TypedDict):
    packets: int
    bytes: int


class CapturedFrame(TypedDict):
    """How long it was, what was kept of it in hexadecimal, and one line for people."""

    bytes: int
    hex: str
    summary: str


class Packet(TypedDict, total=False):
    """A captured packet, as it came in and as it left (None: nothing did). `outcome`: sent, dropped
    or passed. `pool4`: address and port of pool4 that it came to or left from, its session's (None:
    none). Or packets that were over the rate (`limited`) or `lost` since the last."""

    time: str
    device: str
    entry: str
    outcome: str
    reasons: list[str]
    before: CapturedFrame
    after: CapturedFrame | None
    pool4: str | None
    limited: int
    lost: int


class TracedPacket(TypedDict):
    """A packet: one line of it, its headers' fields, and the frame in hexadecimal."""

    summary: str
    fields: dict[str, str]
    hex: str
    linkBytes: int


class Trace(TypedDict):
    """What would become of a packet. `verdict`: sent, cut, answered, dropped or passed; `after`:
    what leaves."""

    number: int
    device: str
    entry: str
    verdict: str
    reasons: list[str]
    steps: list[str]
    before: TracedPacket
    after: TracedPacket | None


class Session(TypedDict):
    """A session of stateful NAT64 that lives (RFC 6146). `inside` is an IPv6 address, `pool` one of
    pool4, `remote` the IPv4 node's, that is called under the prefix of that name (None: it is
    gone). Of ICMP queries, ports are identifiers and `remotePort` is 0.
    """

    protocol: str
    inside: str
    insidePort: int
    pool: str
    poolPort: int
    remote: str
    remotePort: int
    prefix: str | None
    state: str
    remainingSeconds: float


class Binding(TypedDict):
    """An entry of a BIB. `sessions`: that live; `static`: it stays without any."""

    protocol: str
    inside: str
    insidePort: int
    pool: str
    poolPort: int
    sessions: int
    static: bool


class PoolClient(TypedDict):
    """Whoever shares `prefix`: its address in the entry `pool` of pool4, and its port blocks there,
    as "first-last". What has ended counts until it is swept.
    """

    prefix: str
    pool: str
    address: str
    blocks: list[str]
    bindings: int
    sessions: int


class SessionsOfKind(TypedDict):
    """Sessions that are counted together."""

    protocol: str
    state: str
    sessions: int


class Use(TypedDict):
    """Of what has a limit: how much is taken, and the limit."""

    used: int
    room: int


class PoolUse(TypedDict):
    """An address of pool4: its ports by protocol, and the blocks that clients have."""

    address: str
    ports: dict[str, Use]
    blocks: Use


class SessionCount(TypedDict):
    """Sessions that live, by protocol and state; how full the tables and pool4 are."""

    sessions: list[SessionsOfKind]
    tables: dict[str, Use]
    pool4: list[PoolUse]


class RefusedSession(TypedDict):
    """One that was not carried: its line, and why."""

    line: int
    result: str


class Imported(TypedDict):
    """How many sessions of another gateway were made, were there already, and were not carried, by
    why; `refused`: the first of those."""

    made: int
    present: int
    notPool4: int
    notPool6: int
    conflict: int
    limited: int
    noRoom: int
    refused: list[RefusedSession]


class Traffic(TypedDict):
    """Packets that are counted together. `prefix`: None where they leave before it is known which
    one serves them; `direction`: "46" or "64"; `protocol`: tcp, udp, icmp or other."""

    prefix: str | None
    direction: str
    protocol: str
    reason: str
    packets: int
    bytes: int


BackendState = Literal["active", "terminating", "maintenance", "quarantined"]


class Backend(TypedDict):
    """A backend of a Service; docs/reference/service.md has what its keys mean."""

    address: str
    port: NotRequired[int]
    weight: NotRequired[int]
    state: NotRequired[Literal["active", "terminating", "maintenance"]]
    drainUntil: NotRequired[str]


class BackendChange(TypedDict):
    """A change of one backend in a transaction. `backend`: with its address (and port), and with
    "put" the rest of it, with "patch" what is to change."""

    op: Literal["put", "patch", "delete"]
    service: str
    backend: Mapping[str, Any]
    resourceVersion: NotRequired[str]


class BackendStatus(TypedDict):
    """How a backend does, and what went to it since it came to its service. `share`: of new flows,
    0 to 1; `activeFlows`: that go on."""

    state: BackendState
    share: float | None
    packets: int
    bytes: int
    newFlows: int
    activeFlows: int


class BackendHealth(TypedDict):
    """What is known of a backend by its checks: what holds, since when, and the last one. `way`:
    as flows go ("tunnel"), or at its own address ("direct"); `damped`: it stays quarantined for a
    time, as it flapped."""

    verdict: Literal["unknown", "well", "quarantined"]
    since: str
    way: Literal["tunnel", "direct"]
    result: str
    well: bool | None
    latencySeconds: float | None
    checkedAt: str | None
    damped: bool


class BackendView(TypedDict):
    """A backend as desired, and how it does; `status` is None if its service is not in force,
    `health` if it is not checked."""

    address: str
    port: NotRequired[int]
    weight: int
    state: Literal["active", "terminating", "maintenance"]
    drainUntil: NotRequired[str]
    status: BackendStatus | None
    health: BackendHealth | None


class BackendListing(TypedDict):
    """`resourceVersion`: of the Service."""

    resourceVersion: str
    items: list[BackendView]


class ServiceCount(TypedDict):
    """What a service carries. `states`: how many backends there are in each; `drops`: what was
    dropped, by reason."""

    service: str
    packets: int
    bytes: int
    newFlows: int
    activeFlows: int
    states: dict[str, int]
    dropped: Count
    drops: dict[str, Count]


class FrontendCounters(TypedDict):
    """What came to a frontend."""

    address: str
    port: int
    protocol: Literal["TCP", "UDP"]
    packets: int
    bytes: int
    newFlows: int
    dropped: Count
    drops: dict[str, Count]


class BackendCounters(TypedDict):
    """What went to a backend."""

    address: str
    port: NotRequired[int]
    state: BackendState
    packets: int
    bytes: int
    newFlows: int
    activeFlows: int


class ServiceCounters(ServiceCount):
    """The same, with each frontend and backend in force."""

    frontends: list[FrontendCounters]
    backends: list[BackendCounters]


class BigTcpReasons(TypedDict):
    """Why a device has the sizes that it has, for people."""

    ipv6: str
    ipv4: str


class BigTcpDevice(TypedDict):
    """How large packets may be on a device, in bytes with headers. `gso`, `gro`: of IPv6;
    `netns`: None: it is the node's; `containerId`, `namespace`, `name`: of the pod whose it is;
    `ipv6Mtu`: of a pod's end. None where there is none."""

    device: str
    role: Literal["uplink", "lower", "host-end", "pod-end"]
    containerId: str | None
    namespace: str | None
    name: str | None
    netns: str | None
    gso: int | None
    gro: int | None
    gsoIpv4: int | None
    groIpv4: int | None
    maximum: int
    ipv6Mtu: int | None
    why: BigTcpReasons


class Pod(TypedDict):
    """What an interface of a pod has. `namespace`, `name`: as Kubernetes calls it; `egress`: what
    stands for its IPv4 address; None where there is none."""

    containerId: str
    ifname: str
    namespace: str | None
    name: str | None
    netns: str
    pool: str
    addresses: list[str]
    egress: str | None
    device: Literal["veth", "netkit", "netkit-l2"]
    hostDevice: str
    mtu: int
    ready: bool


class Counters(TypedDict):
    """`reasons`: by why packets left the pipeline. `prefixes`: name, then direction "46", "64".
    `traffic`: by all of that and protocol."""

    reasons: dict[str, Count]
    prefixes: dict[str, dict[str, Count]]
    traffic: list[Traffic]


Verdict = Literal["unknown", "well", "quarantined"]


class HealthTask(TypedDict):
    """A check that is to be made: of a backend, by packets to `address`.

    `mark`: of packets that go by the backend's tunnel, null: they need none. `statuses`: of HTTP,
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
    intervalSeconds: int
    timeoutSeconds: int
    rise: int
    fall: int
    verdict: Verdict


class HealthTasks(TypedDict):
    """`whole`: these tasks, and no others; else what changed behind the version that was named, and
    `gone`, what is no more. `version` is to be named next."""

    version: str
    whole: bool
    tasks: list[HealthTask]
    gone: list[str]


class HealthResult(TypedDict):
    """What is known of a backend. `verdict`: what holds, since `since`; `well`, `told`,
    `latencySeconds`, `at`: of the last check. Times are in seconds since 1970. `done`, `failed`,
    `notMade`: checks since the last report, `seconds`: how long answers took together."""

    id: str
    verdict: Verdict
    since: float
    damped: bool
    penalty: float
    changes: int
    well: bool
    told: str
    latencySeconds: float | None
    at: float | None
    done: int
    failed: int
    notMade: int
    seconds: float


class HealthTaken(TypedDict):
    """Whether the version that results were sent for is known. If not: all tasks are to be asked
    for anew, and all results told again."""

    known: bool
