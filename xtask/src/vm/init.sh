#!/bin/busybox sh
# The first program of a test machine: the host's files, read-only, below a layer in memory; then /guest in them.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
. /settings
end() { echo "onlooker-vm: end $1"; poweroff -f; }
while read -r module; do
  insmod "/modules/$module" || echo "onlooker-vm: module $module is refused"
done </modules/order
share() {
  if [ "$FILES" = 9p ]; then
    mount -t 9p -o "trans=virtio,version=9p2000.L,msize=1048576,$3" "$1" "$2"
  else
    mount -t virtiofs -o "$3" "$1" "$2"
  fi
}
share host /mnt/host ro$([ "$FILES" = 9p ] && echo ,cache=loose) || end 90
mount -t tmpfs -o size=75% rw /mnt/rw
mkdir /mnt/rw/upper /mnt/rw/work
mount -t overlay -o lowerdir=/mnt/host,upperdir=/mnt/rw/upper,workdir=/mnt/rw/work root /newroot || end 91
cd /newroot
mount --move /proc proc
mount --move /sys sys
mount --move /dev dev
mkdir -p dev/pts dev/shm
mount -t devpts devpts dev/pts
mount -t tmpfs shm dev/shm
mount -t tmpfs run run
mkdir -p run/onlooker/tmp run/onlooker/out run/lock
share out run/onlooker/out rw || end 92
mount -t tracefs tracefs sys/kernel/tracing
mount -t securityfs securityfs sys/kernel/security
mount -t bpf bpf sys/fs/bpf
if [ "$CGROUPS" = 1 ]; then
  mount -t tmpfs cgroup sys/fs/cgroup
  for controller in cpu,cpuacct cpuset memory pids devices blkio freezer; do
    mkdir "sys/fs/cgroup/$controller"
    mount -t cgroup -o "$controller" cgroup "sys/fs/cgroup/$controller"
  done
  mkdir sys/fs/cgroup/systemd
  mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
else
  mount -t cgroup2 cgroup2 sys/fs/cgroup
fi
[ "$TYPES" = kept ] || mount -t tmpfs hidden sys/kernel/btf
ip link set lo up
hostname vm
cp /guest /bin/busybox run/onlooker/
echo "onlooker-vm: booted $(uname -r)"
# Process 1 has the new root too, as on any host: paths of its mounts are those that all see.
mount --move . /
exec chroot . /run/onlooker/busybox sh -c '
  /bin/sh /run/onlooker/guest </dev/null
  echo "onlooker-vm: end $?"
  /run/onlooker/busybox poweroff -f'
