"""Settings in effect: ours are merged over the app's own, addresses are forced, and both are looked at before use."""

from __future__ import annotations

import os
import re
import sys
from typing import Any, Mapping

from celery_harness_agent.journal import Journal, mono, quoted
from celery_harness_agent.settings import EX_CONFIG, Settings

__all__ = ["NO_BACKEND", "backend_address", "changed", "demand_our_servers", "effective", "force_addresses", "merge", "merge_when_loaded"]

NO_BACKEND = "disabled://"
_BROKER_VARIABLES = {
    "read": ("CELERY_BROKER_READ_URL", "broker_read_url"),
    "write": ("CELERY_BROKER_WRITE_URL", "broker_write_url"),
    "backend": ("CELERY_RESULT_BACKEND", "result_backend"),
}

#: What oracles rest on; `task_always_eager` because nothing would be published at all.
ORACLE_SETTINGS = (
    "accept_content",
    "broker_connection_retry",
    "broker_pool_limit",
    "broker_transport_options",
    "enable_utc",
    "result_backend_transport_options",
    "result_expires",
    "result_extended",
    "task_acks_late",
    "task_acks_on_failure_or_timeout",
    "task_always_eager",
    "task_create_missing_queues",
    "task_default_exchange",
    "task_default_queue",
    "task_default_routing_key",
    "task_ignore_result",
    "task_protocol",
    "task_publish_retry",
    "task_publish_retry_policy",
    "task_reject_on_worker_lost",
    "task_serializer",
    "task_soft_time_limit",
    "task_store_errors_even_if_ignored",
    "task_time_limit",
    "task_track_started",
    "timezone",
    "visibility_timeout",
    "worker_cancel_long_running_tasks_on_connection_loss",
    "worker_concurrency",
    "worker_deduplicate_successful_tasks",
    "worker_enable_remote_control",
    "worker_max_tasks_per_child",
    "worker_pool",
    "worker_prefetch_multiplier",
)
#: What an app may say of verification, in the words of redis-py and of py-amqp.
_TLS_SETTINGS = ("broker_use_ssl", "redis_backend_use_ssl")
_VERIFICATION = ("ssl_cert_reqs", "ssl_check_hostname", "cert_reqs")
#: Of the run's own servers.
_ADDRESSES = ("broker_url", "broker_read_url", "broker_write_url", "result_backend")
#: Settings that Celery reads (docs/userguide/configuration, app/utils.py) and that its table of defaults has not.
_WITHOUT_DEFAULT = {"TIME_ZONE": "timezone", "gcs_threadpool_maxsize": "", "result_backend_thread_safe": ""}
#: Of an address: a name, a password, or both.
_USER = re.compile(r"(?<=://)[^\s/]*@")
_IN_MEMORY = re.compile(r" at 0x[0-9a-f]+")
_SECRET = re.compile(r"pass(word|wd)?$|secret|token|credential", re.IGNORECASE)


def force_addresses(settings: Settings) -> None:
    """These variables beat every way in which an app can set the addresses; CELERY_BROKER_URL alone does not."""
    for variable in ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"):
        os.environ[variable] = settings.broker
    os.environ["CELERY_RESULT_BACKEND"] = settings.backend or NO_BACKEND


def merge_when_loaded(config: Mapping[str, Any]) -> None:
    """Merge whenever an app loads its configuration: tasks copy acks_late and others from it as they are registered.

    Rests on Celery._load_config (5.3 to 5.7); without it `merge` after the import still sets all but what tasks copied.
    """
    from celery.app.base import Celery

    load = getattr(Celery, "_load_config", None)
    if not config or load is None:
        return

    def load_config(self: Any) -> Any:
        conf = load(self)
        merge(conf, config)
        return conf

    Celery._load_config = load_config


def merge(conf: Any, config: Mapping[str, Any]) -> None:
    """Set each of `config` on a Celery configuration; mappings key by key, ours winning. Twice is as once.

    Whether the app verifies its servers is its own business, and what ``tls: wrong_name`` and ``expired`` are there to show:
    there its own word wins over ours.
    """
    for key, value in config.items():
        if isinstance(value, Mapping):
            own = conf.get(key)
            own = own if isinstance(own, Mapping) else {}
            kept = _VERIFICATION if key in _TLS_SETTINGS else ()
            value = {**own, **value, **{name: own[name] for name in kept if name in own}}
        conf[key] = value


def effective(conf: Any) -> dict[str, Any]:
    """The settings that oracles rest on, as JSON can hold them, without secrets."""
    found = {}
    for name in ORACLE_SETTINGS:
        try:
            found[name] = plain(conf.get(name), name)
        except Exception as exc:
            found[name] = f"(cannot be read: {type(exc).__name__})"
    options = found.get("broker_transport_options")
    if found.get("visibility_timeout") is None and isinstance(options, dict):
        found["visibility_timeout"] = options.get("visibility_timeout")
    return found


def changed(conf: Any) -> dict[str, Any]:
    """The settings that are no defaults of Celery's, but for addresses of broker and backend, as JSON can hold them, without secrets.

    Celery's own alone: a module of settings has names of others too (the whole of Django's, addresses with passwords, paths).
    The same in every process: sets in order, objects without their addresses in memory.
    """
    found = {}
    for name, value in sorted(conf.table(with_defaults=False).items()):
        if _setting_of(name, getattr(conf, "prefix", None) or "") in (None, *_ADDRESSES):
            continue
        try:
            found[name] = _lasting(plain(value, name))
        except Exception as exc:
            found[name] = f"(cannot be read: {type(exc).__name__})"
    return found


def _setting_of(name: str, prefix: str) -> str | None:
    """By the name that it has now, of one that is written with the app's ``prefix``, or as it was called before; None: not Celery's."""
    from celery.app import defaults

    if name in _WITHOUT_DEFAULT:
        return _WITHOUT_DEFAULT[name] or name
    bare = name[len(prefix) :].lower() if prefix and name.startswith(prefix) else name
    if bare in defaults.DEFAULTS:
        return bare
    old: Mapping[str, str] = getattr(defaults, "_TO_NEW_KEY", {})
    return old.get(name)


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _lasting(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_lasting(item) for item in value]
    return _USER.sub("**@", _IN_MEMORY.sub("", value)) if isinstance(value, str) else value


def plain(value: Any, name: str = "") -> Any:
    """JSON-able: numbers and strings as they are, the rest by its text."""
    if value is not None and _SECRET.search(name):
        return "**"
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(k): plain(v, str(k)) for k, v in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted((plain(v) for v in value), key=str)
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value.total_seconds() if hasattr(value, "total_seconds") else str(value)


def demand_our_servers(app: Any, settings: Settings, journal: Journal) -> None:
    """Record the addresses in effect; where one is not ours, say so and exit with 78. Connects to nothing."""
    found = _addresses(app, settings)
    shown = ",".join(f'"{part}":{quoted(url)}' for part, (url, _) in found.items())
    journal.emit(f'{{"k":"urls","m":{mono()},{shown}}}\n')
    foreign = [part for part in ("read", "write", "backend") if not found[part][1]]
    for part in foreign:
        refuse(journal, part, found[part][0])
    if foreign:
        sys.stderr.flush()
        raise SystemExit(EX_CONFIG)


def refuse(journal: Journal, part: str, url: str) -> None:
    """The record and the message; the caller ends the process."""
    variable, setting = _BROKER_VARIABLES[part]
    journal.emit(f'{{"k":"refused","m":{mono()},"part":{quoted(part)},"url":{quoted(url)}}}\n')
    sys.stderr.write(
        f"harness agent: refusing to start: {setting} is {url}"
        f", which this run did not start.\n  The harness sets the variable {variable}"
        "; the app undoes that (an overridden connection or backend class, os.environ, load_dotenv(override=True)).\n  Let "
        f"{setting} come from {variable} or from the app's configuration.\n"
    )


def is_ours(connection: Any, settings: Settings) -> bool:
    """Would this kombu connection, with its alternates, go to the run's broker only?"""
    from kombu import connection as kombu_connection

    def parse(url: str) -> str:
        # `ssl`, or kombu warns of insecure behaviour: it thinks that this connection were to be used.
        uri: str = kombu_connection.Connection(url, ssl=connection.ssl).as_uri(include_password=True)
        return uri

    ours = parse(settings.broker)
    alternates = [parse(url) for url in connection.alt or ()]
    return all(uri == ours for uri in [connection.as_uri(include_password=True), *alternates])


def _addresses(app: Any, settings: Settings) -> dict[str, tuple[str, bool]]:
    """Per part: the address in effect, password masked, and whether it is ours."""
    found = {}
    for part, connect in (("read", app.connection_for_read), ("write", app.connection_for_write)):
        connection = connect()
        found[part] = (connection.as_uri(), is_ours(connection, settings))
    found["backend"] = backend_address(app, settings)
    return found


def backend_address(app: Any, settings: Settings) -> tuple[str, bool]:
    """Of the result backend in effect, password masked, and whether it is the one that the settings name. Connects to nothing."""
    from celery.app import backends

    backend = app.backend
    kind, url = backends.by_url(settings.backend or NO_BACKEND, app.loader)
    ours = kind(app=app, url=url)
    if settings.backend is None:
        return _uri(backend, False), type(backend) is type(ours)
    return _uri(backend, False), type(backend) is type(ours) and _uri(backend, True) == _uri(ours, True)


def _uri(backend: Any, include_password: bool) -> str:
    return str(backend.as_uri(include_password=include_password))
