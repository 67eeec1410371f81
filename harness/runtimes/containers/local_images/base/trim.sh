# Usage: trim.sh ROOT   Makes what debootstrap left a base for images: small, and nothing of this machine in it.
set -eu
root=$1

# Packages must not start their servers, and need no manuals here.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
cat >"$root/etc/dpkg/dpkg.cfg.d/celery-harness" <<'DPKG'
force-unsafe-io
path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
DPKG
cat >"$root/etc/apt/apt.conf.d/celery-harness" <<'APT'
APT::Install-Recommends "false";
Acquire::Languages "none";
APT

rm -rf "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/var/cache/debconf/*-old \
    "$root"/var/log/* "$root"/usr/share/man/* "$root"/usr/share/info/* "$root"/usr/share/locale/* "$root"/tmp/* "$root"/var/tmp/*
find "$root/usr/share/doc" -mindepth 1 \( -type f -o -type l \) ! -name copyright -delete
find "$root/usr/share/doc" -mindepth 1 -type d -empty -delete

# The host's mirror, name, resolver and identity.
: >"$root/etc/apt/sources.list"
: >"$root/etc/resolv.conf"
: >"$root/etc/hostname"
: >"$root/etc/hosts"
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id"
