"""Whose a PostgreSQL server of ours is: the app's database and logins, made, removed, and nobody else there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from harness.brokers.postgres_inspector import DATABASE
from harness.ports.broker import Endpoint, Login

if TYPE_CHECKING:
    import psycopg

__all__ = ["alone", "postmaster", "provide", "remove"]

#: Owns the database, so that worker and producer may use each other's tables, whoever made them.
_OWNER = "app"
_GONE_SECONDS = 5.0


def postmaster(connection: psycopg.Connection[Any]) -> int:
    """Its pid, by the file that it writes into its own cluster."""
    row = connection.execute("SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int").fetchone()
    return int(row[0]) if row else 0


def provide(connection: psycopg.Connection[Any], endpoint: Endpoint) -> None:
    """The app's database and logins, where they are not there yet. Passwords travel hashed: the log may quote a statement.

    Both logins act as the owner of the database, so that a table which one has made (Celery's backend makes its own on first
    use, in producer and worker alike) is as good as the other's. They may connect and make what they need in this database:
    no superuser, no other databases or roles.
    """
    from psycopg import sql

    names = (_OWNER, *(login.user for login in endpoint.logins.values()))
    there = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", (list(names),))}
    if _OWNER not in there:
        with connection.transaction():
            connection.execute("REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC")
            connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(_OWNER)))
    for login in endpoint.logins.values():
        if login.user not in there:
            _add_login(connection, login)
    if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone() is None:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(_OWNER)))


def remove(connection: psycopg.Connection[Any], endpoint: Endpoint) -> None:
    """What `provide` makes, and every copy that a store made of the database; clients are cut off first.

    Roles whatever their names: a server that changed hands has those of the run before. Who stands between password and session is
    on no list yet, and is turned away afterwards, since its role is gone (InitializeSessionUserId).
    """
    from psycopg import sql

    others = "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'"
    for (database,) in connection.execute(others).fetchall():
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))
    roles = "SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' AND rolname <> %s"
    for (name,) in connection.execute(roles, [endpoint.user]).fetchall():
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def alone(connection: psycopg.Connection[Any]) -> bool:
    """End every client's session but the monitor's own, until there is none; False where one stays."""
    others = "FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename IS DISTINCT FROM current_user"
    deadline = time.monotonic() + _GONE_SECONDS
    while connection.execute(f"SELECT pg_terminate_backend(pid) {others}").fetchall():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _add_login(connection: psycopg.Connection[Any], login: Login) -> None:
    from psycopg import sql

    hashed = connection.pgconn.encrypt_password(login.password.encode(), login.user.encode(), b"scram-sha-256").decode()
    user, owner = sql.Identifier(login.user), sql.Identifier(_OWNER)
    # One transaction: a login without its membership would look complete to the next start.
    with connection.transaction():
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN IN ROLE {} PASSWORD {}").format(user, owner, sql.Literal(hashed)))
        connection.execute(sql.SQL("ALTER ROLE {} SET role TO {}").format(user, sql.Literal(_OWNER)))
