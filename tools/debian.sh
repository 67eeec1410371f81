# Sourced by the scripts beside it: Debian and Ubuntu packages, where we may.

# The command a person would type.
debian_command() {
    if [ "$(id -u)" = 0 ]; then echo "apt-get install -y $*"; else echo "sudo apt-get install -y $*"; fi
}

# Install packages; fails without a word where this is no Debian, or we are neither root nor allowed sudo unasked.
debian_install() {
    command -v apt-get >/dev/null 2>&1 || return 1
    as=
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || return 1
        as="sudo -n"
    fi
    echo "installing Debian packages: $*"
    # A fresh image has no package lists; an old list may name files that are gone.
    $as env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 && return 0
    $as apt-get update -qq >/dev/null 2>&1 || return 1
    $as env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1
}
