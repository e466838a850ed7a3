#!/bin/sh
# avahi.sh NAME: avahi with a message bus of its own; to be started in mount, process and network
# namespaces of its own, so that the machine's /run and its bus stay untouched.
set -eu
mount -t tmpfs tmpfs /run
mkdir -p /run/dbus /run/avahi-daemon
dbus-daemon --system --nofork --nopidfile &
tries=500
while [ ! -S /run/dbus/system_bus_socket ]; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || exit 1
    sleep 0.01
done
cat >/run/avahi.conf <<CONF
[server]
host-name=$1
use-ipv4=yes
use-ipv6=yes
[publish]
publish-workstation=no
[rlimits]
CONF
exec avahi-daemon -f /run/avahi.conf --no-drop-root --no-rlimits --no-chroot
