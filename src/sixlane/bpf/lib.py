# SPDX-License-Identifier: Apache-2.0
"""libbpf itself: its declarations, its loading, its log and its way to report errors.

The functions are those of libbpf >= 1.1 and are called as C would call them (cffi's ABI mode:
nothing is compiled). Structures that libbpf sizes by their first member, `sz`, are declared only as
far as they are used. What a call returns goes through `check` or `check_pointer`.
"""

import functools
import logging
import os
import threading
from collections import deque
from errno import EACCES, EPERM
from typing import Any

from cffi import FFI

from sixlane.errors import KernelError, NotSupported

logger = logging.getLogger(__name__)

ffi = FFI()
ffi.cdef("""
typedef uint8_t __u8;
typedef uint32_t __u32;
typedef uint64_t __u64;

/* libc */
int vsnprintf(char *text, size_t size, const char *format, void *arguments);
int unshare(int flags);
int mount(const char *source, const char *target, const char *type, unsigned long flags,
          const char *data);
int statfs(const char *path, void *result);

/* libbpf.h */
struct bpf_object;
struct bpf_program;
struct bpf_map;
struct bpf_object_open_opts {
    size_t sz;
    const char *object_name;
    bool relaxed_maps;
    const char *pin_root_path;
    __u32 unused;
    const char *kconfig;
    const char *btf_custom_path;
    char *kernel_log_buf;
    size_t kernel_log_size;
    __u32 kernel_log_level;
    __u32 padding;
};

void *libbpf_set_print(int (*print)(int level, const char *format, void *arguments));
int libbpf_num_possible_cpus(void);
__u32 libbpf_major_version(void);
__u32 libbpf_minor_version(void);

struct bpf_object *bpf_object__open_file(const char *path, const struct bpf_object_open_opts *opts);
int bpf_object__load(struct bpf_object *object);
void bpf_object__close(struct bpf_object *object);
struct btf *bpf_object__btf(const struct bpf_object *object);
int bpf_object__btf_fd(const struct bpf_object *object);
struct bpf_program *bpf_object__next_program(const struct bpf_object *, struct bpf_program *);
struct bpf_map *bpf_object__next_map(const struct bpf_object *, const struct bpf_map *);

const char *bpf_program__name(const struct bpf_program *program);
const char *bpf_program__section_name(const struct bpf_program *program);
int bpf_program__fd(const struct bpf_program *program);
bool bpf_program__autoload(const struct bpf_program *program);
int bpf_program__set_autoload(struct bpf_program *program, bool autoload);
int bpf_program__set_expected_attach_type(struct bpf_program *program, int type);
int bpf_program__set_log_level(struct bpf_program *program, __u32 level);
int bpf_program__set_log_buf(struct bpf_program *program, char *buffer, size_t size);

const char *bpf_map__name(const struct bpf_map *map);
int bpf_map__fd(const struct bpf_map *map);
int bpf_map__reuse_fd(struct bpf_map *map, int fd);
int bpf_map__set_max_entries(struct bpf_map *map, __u32 max_entries);
int bpf_map__set_pin_path(struct bpf_map *map, const char *path);
void *bpf_map__initial_value(struct bpf_map *map, size_t *size);

/* btf.h */
struct btf *btf__parse(const char *path, void *extension);
const void *btf__raw_data(const struct btf *btf, __u32 *size);
struct btf *btf__load_from_kernel_by_id(__u32 id);
void btf__free(struct btf *btf);

/* bpf.h */
struct bpf_map_create_opts {
    size_t sz;
    __u32 btf_fd;
    __u32 btf_key_type_id;
    __u32 btf_value_type_id;
    __u32 btf_vmlinux_value_type_id;
    __u32 inner_map_fd;
    __u32 map_flags;
};
struct bpf_map_batch_opts {
    size_t sz;
    __u64 elem_flags;
    __u64 flags;
};
struct bpf_prog_load_opts {
    size_t sz;
    int attempts;
    __u32 expected_attach_type;
    __u32 prog_btf_fd;
    __u32 prog_flags;
};
struct bpf_link_create_opts {
    size_t sz;
    __u32 flags;
    __u32 padding;
};
struct bpf_test_run_opts {
    size_t sz;
    const void *data_in;
    void *data_out;
    __u32 data_size_in;
    __u32 data_size_out;
    const void *ctx_in;
    void *ctx_out;
    __u32 ctx_size_in;
    __u32 ctx_size_out;
    __u32 retval;
    int repeat;
    __u32 duration;
    __u32 flags;
    __u32 cpu;
    __u32 batch_size;
};

int bpf_map_create(int type, const char *name, __u32 key_size, __u32 value_size, __u32 max_entries,
                   const struct bpf_map_create_opts *opts);
int bpf_map_lookup_elem(int fd, const void *key, void *value);
int bpf_map_update_elem(int fd, const void *key, const void *value, __u64 flags);
int bpf_map_delete_elem(int fd, const void *key);
int bpf_map_get_next_key(int fd, const void *key, void *next_key);
int bpf_map_lookup_batch(int fd, void *in_batch, void *out_batch, void *keys, void *values,
                         __u32 *count, const struct bpf_map_batch_opts *opts);
int bpf_map_update_batch(int fd, const void *keys, const void *values, __u32 *count,
                         const struct bpf_map_batch_opts *opts);
int bpf_map_get_fd_by_id(__u32 id);

int bpf_prog_load(int type, const char *name, const char *license, const void *instructions,
                  size_t count, const struct bpf_prog_load_opts *opts);
int bpf_prog_get_fd_by_id(__u32 id);
int bpf_prog_test_run_opts(int fd, struct bpf_test_run_opts *opts);

int bpf_link_create(int program_fd, int target, int attach_type,
                    const struct bpf_link_create_opts *opts);
int bpf_link_update(int fd, int program_fd, const void *opts);
int bpf_link_detach(int fd);
int bpf_link_get_fd_by_id(__u32 id);
int bpf_link_get_next_id(__u32 id, __u32 *next_id);
int bpf_xdp_query_id(int ifindex, int flags, __u32 *program_id);
int bpf_prog_query(int target, int attach_type, __u32 query_flags, __u32 *attach_flags,
                   __u32 *program_ids, __u32 *program_count);

int bpf_obj_pin(int fd, const char *path);
int bpf_obj_get(const char *path);
int bpf_obj_get_info_by_fd(int fd, void *info, __u32 *size);

/* libbpf.h, ring buffers */
struct ring_buffer;
typedef int (*ring_buffer_sample_fn)(void *context, void *data, size_t size);
struct ring_buffer *ring_buffer__new(int map_fd, ring_buffer_sample_fn sample, void *context,
                                     const void *opts);
int ring_buffer__consume(struct ring_buffer *ring);
int ring_buffer__epoll_fd(const struct ring_buffer *ring);
void ring_buffer__free(struct ring_buffer *ring);

/* linux/bpf.h */
struct bpf_map_info {
    __u32 type;
    __u32 id;
    __u32 key_size;
    __u32 value_size;
    __u32 max_entries;
    __u32 map_flags;
    char name[16];
    __u32 ifindex;
    __u32 btf_vmlinux_value_type_id;
    __u64 netns_dev;
    __u64 netns_ino;
    __u32 btf_id;
    __u32 btf_key_type_id;
    __u32 btf_value_type_id;
    __u32 padding;
};
struct bpf_prog_info {
    __u32 type;
    __u32 id;
    __u8 tag[8];
    __u32 jited_prog_len;
    __u32 xlated_prog_len;
    __u64 jited_prog_insns;
    __u64 xlated_prog_insns;
    __u64 load_time;
    __u32 created_by_uid;
    __u32 nr_map_ids;
    __u64 map_ids;
    char name[16];
    __u32 ifindex;
    __u32 gpl_compatible;
    __u64 netns_dev;
    __u64 netns_ino;
    __u32 nr_jited_ksyms;
    __u32 nr_jited_func_lens;
    __u64 jited_ksyms;
    __u64 jited_func_lens;
    __u32 btf_id;
    __u32 func_info_rec_size;
    __u64 func_info;
    __u32 nr_func_info;
    __u32 nr_line_info;
    __u64 line_info;
    __u64 jited_line_info;
    __u32 nr_jited_line_info;
    __u32 line_info_rec_size;
    __u32 jited_line_info_rec_size;
    __u32 nr_prog_tags;
    __u64 prog_tags;
    __u64 run_time_ns;
    __u64 run_cnt;
    __u64 recursion_misses;
    __u32 verified_insns;
    __u32 padding;
};
struct bpf_link_info {
    __u32 type;
    __u32 id;
    __u32 prog_id;
    __u32 padding;
    __u32 ifindex;      /* of XDP, TCX and netkit */
    __u32 attach_type;  /* of TCX and netkit */
    __u64 rest[8];
};
""")


class _Log(threading.local):
    """The lines that libbpf printed on this thread since the last checked call."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=20)


_log = _Log()


@functools.cache
def libc() -> Any:
    """The C library, for the few calls that Python 3.11 lacks."""
    return ffi.dlopen(None)


@functools.cache
def libbpf() -> Any:
    """libbpf, loaded at the first use, its messages caught by us instead of written to stderr."""
    try:
        library: Any = ffi.dlopen("libbpf.so.1")
    except OSError:
        raise NotSupported("libbpf", "apt install libbpf1") from None
    library.libbpf_set_print(_print)
    return library


@ffi.callback("int(int, const char *, void *)", error=0)
def _print(level: int, form: Any, arguments: Any) -> int:
    # A va_list is passed as a pointer on every architecture that has a BPF JIT, hence the void *.
    if level > 1:  # LIBBPF_DEBUG
        return 0
    text = ffi.new("char[]", 4096)
    length: int = libc().vsnprintf(text, len(text), form, arguments)
    for line in to_str(text).splitlines():
        logger.debug("%s", line)
        _log.lines.append(line.removeprefix("libbpf: "))
    return length


def check(result: int, what: str) -> int:
    """A call's `result`; if it is negative, KernelError(-result, what) with libbpf's last words."""
    lines = drain_log()
    if result >= 0:
        return result
    raise KernelError(-result, what, hint_for(-result, lines))


def check_pointer(result: Any, what: str) -> Any:
    """A pointer that a call returned; KernelError(errno, what) if it is NULL."""
    number = ffi.errno
    lines = drain_log()
    if result != ffi.NULL:
        return result
    raise KernelError(number, what, hint_for(number, lines))


def drain_log() -> list[str]:
    """Takes the lines that libbpf printed on this thread since the last call of this function."""
    lines = list(_log.lines)
    _log.lines.clear()
    return lines


def hint_for(number: int, lines: list[str]) -> str:
    """libbpf's last words, and the usual cause where the caller has no privilege."""
    unprivileged = number in (EPERM, EACCES) and os.geteuid() != 0
    return "; ".join(["run as root"] if unprivileged else lines[-2:])


def to_str(text: Any) -> str:
    """A Python string from a `char *` or `char[]`."""
    raw: Any = ffi.string(text)
    return str(raw.decode(errors="replace"))


def options(name: str, **values: Any) -> Any:
    """A `struct NAME *` of libbpf's options, with its size filled in."""
    return ffi.new(f"struct {name} *", {"sz": ffi.sizeof(f"struct {name}"), **values})


def get_info(fd: int, name: str, info: Any = None) -> Any:
    """What the kernel tells of the map, program or link behind `fd`, as a `struct NAME *`."""
    info = ffi.new(f"struct {name} *") if info is None else info
    size = ffi.new("__u32 *", ffi.sizeof(f"struct {name}"))
    check(libbpf().bpf_obj_get_info_by_fd(fd, info, size), f"read {name}")
    return info


@functools.cache
def possible_cpus() -> int:
    """How many CPUs this machine may ever have: a per-CPU map holds as many values for each key."""
    return check(libbpf().libbpf_num_possible_cpus(), "count the possible CPUs")
