#!/bin/sh
# As the public image's: options alone are rabbitmq-server's, and the server runs as rabbitmq where it was started as root.
set -eu
case ${1:-} in
    "" | -*) set -- rabbitmq-server "$@" ;;
esac
case $1 in
    rabbitmq*)
        if [ "$(id -u)" = 0 ]; then
            find /var/lib/rabbitmq \! -user rabbitmq -exec chown rabbitmq:rabbitmq '{}' +
            exec setpriv --reuid=rabbitmq --regid=rabbitmq --clear-groups -- "$0" "$@"
        fi
        ;;
esac
exec "$@"
