# SPDX-License-Identifier: Apache-2.0
"""Ring buffers: records that programs write and one reader takes out, in order.

with RingBuffer(map) as ring:
    select.select([ring], [], [], 1)
    for record in ring.read(1000):
        ...
"""

from errno import ECANCELED
from types import TracebackType
from typing import Any, Self

from sixlane.bpf.lib import check, check_pointer, ffi, libbpf
from sixlane.bpf.map import Map


class RingBuffer:
    """The reading side of a map of type RINGBUF. There must be but one of it for each map.

    Not for several threads at once. The map may be closed before.
    """

    def __init__(self, map: Map) -> None:
        self._records: list[bytes] = []
        self._limit = 0
        self._context = ffi.new_handle(self)  # kept as long as libbpf has it
        self._ring = check_pointer(
            libbpf().ring_buffer__new(map.fd, _take, self._context, ffi.NULL),
            f"read the ring buffer {map.info.name}",
        )

    def fileno(self) -> int:
        """A descriptor that is readable while there are records; owned by the ring buffer."""
        return check(libbpf().ring_buffer__epoll_fd(self._open), "poll a ring buffer")

    def read(self, limit: int) -> list[bytes]:
        """Takes out up to `limit` (> 0) records, those that are there now, the oldest first."""
        self._limit = limit
        self._records = []
        result = libbpf().ring_buffer__consume(self._open)
        if result != -ECANCELED:
            check(result, "read a ring buffer")
        return self._records

    def close(self) -> None:
        """Lets go; a second call does nothing. What was not read stays."""
        ring, self._ring = self._ring, ffi.NULL
        if ring != ffi.NULL:
            libbpf().ring_buffer__free(ring)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _open(self) -> Any:
        if self._ring == ffi.NULL:
            raise ValueError("RingBuffer is not open")
        return self._ring

    def _put(self, record: bytes) -> int:
        """libbpf stops behind the record for which it gets a negative number."""
        self._records.append(record)
        return -ECANCELED if len(self._records) >= self._limit else 0


@ffi.callback("int(void *, void *, size_t)", error=0)
def _take(context: Any, data: Any, size: int) -> int:
    ring: RingBuffer = ffi.from_handle(context)
    return ring._put(bytes(ffi.buffer(data, size)))
