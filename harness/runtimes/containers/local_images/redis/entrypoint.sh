#!/bin/sh
# As the public image's: options alone are redis-server's, and the server runs as redis where it was started as root.
set -eu
case ${1:-} in
    "" | -* | *.conf) set -- redis-server "$@" ;;
esac
if [ "$1" = redis-server ]; then
    if [ "$(id -u)" = 0 ]; then
        chown -R redis:redis /data
        exec setpriv --reuid=redis --regid=redis --clear-groups -- "$0" "$@"
    fi
    # The public image's server is built with protected mode off; Debian's is not, and any later option still wins.
    shift
    case ${1:-} in
        "" | -*) set -- redis-server --protected-mode no --bind '*' '-::*' "$@" ;;
        *) config=$1; shift; set -- redis-server "$config" --protected-mode no "$@" ;;
    esac
fi
exec "$@"
