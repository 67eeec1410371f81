"""Locust's command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.model.scenario import LocustSpec
from harness.runtimes.shared.locusts import locust_options, worker_settings


def options(**spec: Any) -> dict[str, str]:
    """Name -> value."""
    made = LocustSpec.model_validate({"file": "f.py", **spec})
    found = locust_options(made, Path("/p/f.py"), Path("/r/locust"), Path("/r/logs/locust.log"))
    return {name: value for name, _, value in (option.partition("=") for option in found)}


def test_the_least() -> None:
    assert options() == {
        "--locustfile": "/p/f.py",
        "--users": "1",
        "--spawn-rate": "1",
        "--logfile": "/r/logs/locust.log",
        "--csv": "/r/locust",
        "--headless": "",
    }


def test_users_come_within_a_second_unless_a_rate_is_said() -> None:
    assert options(users=20)["--spawn-rate"] == "20"
    assert options(users=20, spawn_rate="30/m")["--spawn-rate"] == "0.5"


def test_processes_find_one_another_on_a_free_port_of_loopback() -> None:
    found = options(processes=3)
    assert found["--processes"] == "3"
    assert found["--master-bind-host"] == found["--master-host"] == "127.0.0.1"
    assert found["--master-bind-port"] == found["--master-port"] != "5557"


def test_workers_of_somebody_else() -> None:
    found = options(processes=3, options=["--master-bind-port=7000", "--expect-workers=2"])
    assert "--master" in found and "--processes" not in found
    assert (found["--master-bind-host"], found["--master-bind-port"], found["--expect-workers"]) == ("127.0.0.1", "7000", "2")


def test_the_page_is_on_loopback_and_the_load_begins_by_itself() -> None:
    found = options(options=["--web-port=8089"])
    assert "--headless" not in found and "--autostart" in found
    assert found["--web-host"] == "127.0.0.1"


def test_csv_files_go_where_they_are_wanted() -> None:
    assert options(options=["--csv=/mine"])["--csv"] == "/mine"


def test_the_load_lasts_whole_seconds() -> None:
    assert options(**{"for": "1m 30s"})["--run-time"] == "90"
    assert options(**{"for": "2.5s"})["--run-time"] == "3"
    assert options(**{"for": "400ms"})["--run-time"] == "1", "0 would be no limit"


MASTER: dict[str, Any] = {
    "run": "r",
    "pass": "faults",
    "role": "producer",
    "name": "producer",
    "journal": "/r/journal",
    "app": "shop:app",
    "root": "/p",
    "broker": "redis://u:p@127.0.0.1:4001/0",
    "backend": "redis://u:p@127.0.0.1:4002/0",
    "config": {"task_acks_late": True},
    "allow": [["127.0.0.1", 4001], ["127.0.0.1", 4002], ["127.0.0.1", 4003]],
    "egress": ["shop.example"],
    "retry_divisor": 1.0,
    "trigger_folder": "/r/triggers",
    "pid_base": 0,
}


def test_a_worker_on_another_machine_is_told_no_path_and_may_reach_broker_and_backend_alone() -> None:
    told = worker_settings(MASTER, "secret", {"DATABASE_URL": "sqlite:////x"})
    assert told["allow"] == [["127.0.0.1", 4001], ["127.0.0.1", 4002]], "4003 is somebody else's over there"
    assert told["elsewhere"] is True and told["token"] == "secret" and told["env"] == {"DATABASE_URL": "sqlite:////x"}
    assert told["config"] == {"task_acks_late": True} and told["egress"] == ["shop.example"]
    assert not {"journal", "root", "trigger_folder", "pid_base", "worker_file"} & set(told)


def test_without_a_result_backend_there_is_one_address() -> None:
    assert worker_settings({**MASTER, "backend": None}, "s", {})["allow"] == [["127.0.0.1", 4001]]
