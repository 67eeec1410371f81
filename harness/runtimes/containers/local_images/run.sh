# Runs as root in a container of the base image, with the build's files beside it; nothing of them stays in the image.
set -eu
stage=$(dirname "$0")
. "$stage/environment"
cd "$stage"
export DEBIAN_FRONTEND=noninteractive

# Packages of the host's Debian mirror, without what they merely recommend.
install_packages() {
    echo "== package lists"
    apt-get update -qq
    echo "== installing $*"
    apt-get install -y -qq "$@" >apt.log 2>&1 || { tail -n 40 apt.log; return 1; }
}

# An account and group of their own with a fixed number, so that files look alike whichever image made them.
service_account() {
    groupadd --system --gid "$2" "$1"
    useradd --system --uid "$2" --gid "$1" --home-dir "$3" --no-create-home --shell /usr/sbin/nologin "$1"
}

. ./install.sh

# What packages write at every installation, and nobody reads in an image.
rm -rf /var/log/apt /var/log/dpkg.log /var/log/alternatives.log /var/log/bootstrap.log /var/cache/debconf/*-old \
    /var/cache/ldconfig /var/cache/apt/*.bin /var/lib/dpkg/*-old /tmp/* /var/tmp/*
cd /
rm -rf "$stage"
