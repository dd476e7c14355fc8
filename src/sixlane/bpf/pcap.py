# SPDX-License-Identifier: Apache-2.0
"""tcpdump's filters, by the system's libpcap: compiled to classic BPF and run here."""

from functools import cache
from typing import Any, Self

from cffi import FFI

from sixlane.errors import ConfigError, NotSupported

_ETHERNET = 1
_SNAP_BYTES = 262_144
_ANY_NETMASK = 0xFFFFFFFF  # PCAP_NETMASK_UNKNOWN
_LIBRARY = "libpcap.so.0.8"

_ffi = FFI()
_ffi.cdef("""
struct bpf_program { unsigned int bf_len; void *bf_insns; };
struct pcap_pkthdr { long tv_sec; long tv_usec; uint32_t caplen; uint32_t len; };
void *pcap_open_dead(int linktype, int snaplen);
void pcap_close(void *p);
char *pcap_geterr(void *p);
int pcap_compile(void *p, struct bpf_program *fp, const char *str, int optimize, uint32_t netmask);
void pcap_freecode(struct bpf_program *fp);
int pcap_offline_filter(const struct bpf_program *fp, const struct pcap_pkthdr *h,
                        const uint8_t *pkt);
""")


class Filter:
    """An expression of pcap-filter(7), for Ethernet frames. To be closed."""

    def __init__(self, expression: str) -> None:
        """ConfigError: it is none. NotSupported: there is no libpcap."""
        library = _libpcap()
        handle = library.pcap_open_dead(_ETHERNET, _SNAP_BYTES)
        self._program: Any = _ffi.new("struct bpf_program *")
        try:
            text = expression.encode()
            if library.pcap_compile(handle, self._program, text, 1, _ANY_NETMASK):
                said = _ffi.string(library.pcap_geterr(handle))
                message = said.decode(errors="replace") if isinstance(said, bytes) else ""
                raise ConfigError(
                    f"not a filter: {expression!r}: {message}", "man 7 pcap-filter has the syntax"
                )
        finally:
            library.pcap_close(handle)

    def matches(self, frame: bytes, whole_bytes: int) -> bool:
        """Whether it wants a frame, of which the first bytes are given, and how long it was."""
        header = _ffi.new("struct pcap_pkthdr *", (0, 0, len(frame), whole_bytes))
        return bool(_libpcap().pcap_offline_filter(self._program, header, frame))

    def close(self) -> None:
        program, self._program = self._program, None
        if program is not None:
            _libpcap().pcap_freecode(program)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@cache
def _libpcap() -> Any:
    try:
        return _ffi.dlopen(_LIBRARY)
    except OSError as error:
        raise NotSupported(f"{_LIBRARY}, for filters", "apt-get install libpcap0.8") from error
