"""The monitor's connection to a PostgreSQL store."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.ports.broker import Endpoint

if TYPE_CHECKING:
    import psycopg

__all__ = ["DATABASE", "OWNER", "connect", "require_driver"]

#: The app's database, and the role that its logins act as: `BrokerKind` postgres provides both.
DATABASE, OWNER = "app", "app"


def require_driver() -> None:
    """UsageError where psycopg is not there."""
    try:
        import psycopg  # noqa: F401
    except ImportError as exc:
        raise UsageError(f"a PostgreSQL service needs psycopg 3 ({exc})", hint="pip install 'celery-harness[postgres]'") from exc


def connect(endpoint: Endpoint, database: str = DATABASE) -> psycopg.Connection[Any]:
    """In autocommit; texts of values are the same wherever and whenever they are read. psycopg.Error where nobody answers.

    All is said here, because libpq takes what is not from the user's PG* variables and files. The certificate is not looked
    at: a scenario may want a bad one, and the password was made for this server.
    """
    import psycopg

    settings = {
        "host": endpoint.host,
        "port": endpoint.port,
        "user": endpoint.user,
        "password": endpoint.password,
        "dbname": database,
        "sslmode": "require" if endpoint.tls else "disable",
        # With a root certificate that is there, 'require' would verify: libpq looks for one in the home folder.
        "sslrootcert": "/nonexistent/root.crt",
        "gssencmode": "disable",
        "connect_timeout": 10,
        "client_encoding": "utf8",
        "application_name": "celery-harness",
        "options": "-c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres -c bytea_output=hex -c search_path=",
        "target_session_attrs": "any",
    }
    try:
        ipaddress.ip_address(endpoint.host)
        settings["hostaddr"] = endpoint.host
    except ValueError:
        pass
    # Nothing is prepared: a plan must not outlive a table that the app drops.
    return psycopg.connect(autocommit=True, prepare_threshold=None, **settings)  # type: ignore[arg-type]
