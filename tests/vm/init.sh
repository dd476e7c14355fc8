#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# PID 1 of a guest. Its root is the host's, which it only reads: what it writes stays in memory.
# The kernel hands over its command line's words with a "=": modules, python, agent.
set -eu

/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
for module in /modules/*.ko; do
	insmod "$module"
done

mount -t virtiofs -o ro root /lower
mount -t tmpfs -o size=75%,mode=755 tmpfs /upper
mkdir /upper/data /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work overlay /new

mount -t devtmpfs devtmpfs /new/dev
mkdir -p /new/dev/pts /new/dev/shm
ln -s /proc/self/fd /new/dev/fd
for stream in 0:stdin 1:stdout 2:stderr; do
	ln -s "/proc/self/fd/${stream%:*}" "/new/dev/${stream#*:}"
done
mount -t devpts devpts /new/dev/pts
mount -t tmpfs -o mode=1777 tmpfs /new/dev/shm
mount -t tmpfs -o mode=755 tmpfs /new/run
mount -t proc proc /new/proc
mount -t sysfs sysfs /new/sys
mount -t cgroup2 cgroup2 /new/sys/fs/cgroup
mount -t bpf bpf /new/sys/fs/bpf
mount -t tracefs tracefs /new/sys/kernel/tracing
mkdir -p "/new/lib/modules/$(uname -r)"
mount -o bind "/lower$modules" "/new/lib/modules/$(uname -r)"
ip link set lo up
umount /proc

# The shell stays as PID 1: it takes care of orphans. When the agent ends, so does the guest.
# shellcheck disable=SC2016,SC2154 # for the inner shell; from the kernel's command line
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
	switch_root /new /bin/sh -c '"$0" -I "$1" || echo "the agent failed: $?"; echo o >/proc/sysrq-trigger' \
	"$python" "$agent"
