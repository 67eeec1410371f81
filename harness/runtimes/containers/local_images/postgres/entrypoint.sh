#!/bin/sh
# As the public image's, for what the harness uses of it: POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB, POSTGRES_INITDB_ARGS,
# POSTGRES_HOST_AUTH_METHOD, PGDATA, and *.sh and *.sql in /docker-entrypoint-initdb.d on the first start.
set -eu
case ${1:-} in
    "" | -*) set -- postgres "$@" ;;
esac
[ "$1" = postgres ] || exec "$@"

export PGDATA="${PGDATA:-/var/lib/postgresql/data}"
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA"
    chown -R postgres:postgres "$PGDATA" /var/run/postgresql
    chmod 700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --clear-groups -- "$0" "$@"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    user=${POSTGRES_USER:-postgres}
    method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
    if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "$method" != trust ]; then
        echo "the database is uninitialized and POSTGRES_PASSWORD is not set" >&2
        exit 1
    fi
    mkdir -p "$PGDATA"
    chmod 700 "$PGDATA"
    password=$(mktemp)
    printf '%s\n' "${POSTGRES_PASSWORD:-unused}" >"$password"
    # shellcheck disable=SC2086 # several options
    initdb --username="$user" --pwfile="$password" ${POSTGRES_INITDB_ARGS:-}
    rm -f "$password"
    printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"

    # Until everything is set up it answers on its local socket alone, so that nobody takes it for ready.
    pg_ctl -w -o "-c listen_addresses=''" start >/dev/null
    export PGPASSWORD="${POSTGRES_PASSWORD:-}"
    database=${POSTGRES_DB:-$user}
    if [ "$database" != postgres ]; then
        createdb --username="$user" --maintenance-db=postgres "$database"
    fi
    for file in /docker-entrypoint-initdb.d/*; do
        case $file in
            *.sh) . "$file" ;;
            *.sql) psql -v ON_ERROR_STOP=1 --no-psqlrc --username="$user" --dbname="$database" -f "$file" ;;
        esac
    done
    pg_ctl -w -m fast stop >/dev/null
    unset PGPASSWORD
fi
exec "$@"
