#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# boot.sh CGROUP WORK ROOT PYTHON: systemd as PID 1 over a copy of this machine's files that it may
# write to, in namespaces of its own. CGROUP: an empty cgroup (v2). WORK: an empty directory.
# ROOT: the source tree. What is not to end with it does not exist.
set -eu
export CGROUP=$1 WORK=$2 ROOT=$3 PYTHON=$4
echo $$ >"$CGROUP/cgroup.procs"
exec unshare --fork --kill-child --pid --mount --uts --ipc --net --cgroup --propagation private \
	bash -eu <<'INSIDE'
mount -t tmpfs tmpfs "$WORK"
mkdir "$WORK/upper" "$WORK/work" "$WORK/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$WORK/upper,workdir=$WORK/work" "$WORK/root"
r=$WORK/root
for path in "$ROOT" "$(dirname "$(dirname "$PYTHON")")"; do # if they are on another file system
	[ "$(stat -c %d "$path")" = "$(stat -c %d /)" ] || { mkdir -p "$r$path"; mount --rbind "$path" "$r$path"; }
done

mount -t tmpfs -o mode=755 tmpfs "$r/run"
mount -t proc proc "$r/proc"
mount -t sysfs sysfs "$r/sys"
mount -t bpf bpf "$r/sys/fs/bpf"
mount -t cgroup2 cgroup2 "$r/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$r/dev"
for node in null zero full random urandom tty; do
	cp -a "/dev/$node" "$r/dev/$node"
	chown 0:0 "$r/dev/$node"
done
mkdir "$r/dev/pts" "$r/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$r/dev/pts"
ln -s pts/ptmx "$r/dev/ptmx"
ln -s /proc/self/fd "$r/dev/fd"

etc=$r/etc/systemd/system
rm -rf "$etc"/*.wants
mkdir -p "$etc" "$r/etc/sysusers.d" "$r/etc/tmpfiles.d" "$r/etc/sixlane" "$r/usr/local/bin"
: >"$r/etc/machine-id"
: >"$r/etc/fstab"
rm -rf "$r/var/lib/sixlane"
for unit in networkd resolved udevd udev-trigger remount-fs timesyncd logind; do
	ln -sf /dev/null "$etc/systemd-$unit.service"
done
printf '[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n' >"$etc/test.target"
cp "$ROOT"/packaging/systemd/sixlane* "$etc"
cp "$ROOT/packaging/systemd/sysusers.conf" "$r/etc/sysusers.d/sixlane.conf"
cp "$ROOT/packaging/systemd/tmpfiles.conf" "$r/etc/tmpfiles.d/sixlane.conf"
ln -sf /dev/null "$r/etc/tmpfiles.d/tmp.conf" # the source tree may be in /tmp
for command in sixlaned:sixlane.api.main sixlane:sixlane.cli.main; do
	printf '#!/bin/sh\nPYTHONPATH=%s/src exec %s -m %s "$@"\n' \
		"$ROOT" "$PYTHON" "${command#*:}" >"$r/usr/local/bin/${command%%:*}"
	chmod 755 "$r/usr/local/bin/${command%%:*}"
done

cd "$r"
mkdir -p old
pivot_root . old
umount -l /old
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
	/lib/systemd/systemd --system --unit=test.target --log-target=null --show-status=no </dev/null
INSIDE
