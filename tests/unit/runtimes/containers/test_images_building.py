"""What goes into a build: files, settings, digests, and this machine's way to its packages."""

from __future__ import annotations

import configparser
import io
import subprocess
import tarfile
from pathlib import Path

import pytest
import requests
from docker.errors import APIError

from harness.errors import EnvironmentFault
from harness.runtimes.containers import local_images, package_access
from harness.runtimes.containers.building import Building, _changes, _stop_signal, digest, engine_errors, write_tar
from harness.runtimes.containers.local_images import LOCAL_NAMES, keys
from harness.runtimes.containers.package_access import STAGE, apt_files, debian_source, environment_file, speaks_to_loopback
from harness.runtimes.containers.pip_access import pip_files

_IMAGES = Path(local_images.__file__).parent


def test_a_digest_knows_where_one_part_ends() -> None:
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("ab", "c") == digest("ab", b"c")


def test_an_archive_belongs_to_root_and_is_readable_by_all(tmp_path: Path) -> None:
    (tmp_path / "wheel").write_bytes(b"12345")
    buffer = io.BytesIO()
    write_tar({"a/b/script": b"text", "wheel": tmp_path / "wheel"}, buffer, below="stage")
    buffer.seek(0)
    with tarfile.open(fileobj=buffer) as archive:
        entries = {entry.name: entry for entry in archive}
        content = archive.extractfile("stage/wheel")
        assert content is not None and content.read() == b"12345"
    assert set(entries) == {"stage", "stage/a", "stage/a/b", "stage/a/b/script", "stage/wheel"}
    assert all((e.uid, e.gid) == (0, 0) and e.mode & 0o444 == 0o444 for e in entries.values())
    assert entries["stage/a"].mode & 0o111 == 0o111, "apt, no longer root, must pass"


def test_an_image_gets_its_bases_own_start_back() -> None:
    building = Building("worker", "base:1", "worker:1", "run.sh", {}, settings=["ENV A=1", "", "STOPSIGNAL SIGINT"])
    base = {"Entrypoint": ["/start"], "Cmd": ["serve"], "User": "app"}
    assert _changes(building, base) == [
        'ENTRYPOINT ["/start"]', 'CMD ["serve"]', "USER app", "ENV A=1", 'LABEL "celery-harness.image"="worker"',
    ]  # fmt: skip
    assert _changes(building, {})[0] == 'CMD ["sh"]', "our own command must not become the image's"
    assert _stop_signal(building) == "SIGINT"


def test_engine_errors_say_what_was_being_done() -> None:
    for error in (APIError("500", explanation="no space left"), requests.ConnectionError("no space left")):
        with pytest.raises(EnvironmentFault, match="while pulling: no space left"), engine_errors("pulling"):
            raise error


def test_another_content_is_another_image_and_the_base_is_under_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys("bookworm")
    assert keys("bookworm") == before
    assert all(keys("trixie")[name] != before[name] for name in ("base", *LOCAL_NAMES))
    copy = tmp_path / "images"
    for path in _IMAGES.rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            target = copy / path.relative_to(_IMAGES)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    monkeypatch.setattr(local_images, "_HERE", copy)
    assert keys("bookworm") == before
    (copy / "redis" / "install.sh").write_text("install_packages redis-server other\n")
    assert [name for name, key in keys("bookworm").items() if key != before[name]] == ["redis"]


def test_the_authorities_of_this_machine_are_part_of_the_python_image_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = keys("bookworm")
    (tmp_path / "other.pem").write_text("another authority")
    monkeypatch.setattr(local_images, "certificates", (tmp_path / "other.pem").read_bytes)
    assert [name for name, key in keys("bookworm").items() if key != before[name]] == ["python"]


@pytest.mark.parametrize("script", sorted(p for p in _IMAGES.rglob("*.sh")), ids=lambda p: str(p.relative_to(_IMAGES)))
def test_scripts_are_shell(script: Path) -> None:
    assert subprocess.run(["sh", "-n", str(script)], check=False).returncode == 0


def test_every_image_has_its_files() -> None:
    for name in LOCAL_NAMES:
        assert (_IMAGES / name / "install.sh").is_file() and (_IMAGES / name / "settings").is_file()


def test_proxies_and_certificates_reach_a_build(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("authority")
    text = environment_file({"MORE": "it's"}, {"HTTPS_PROXY": "http://proxy:3128", "SSL_CERT_FILE": str(tmp_path / "ca.pem"), "OTHER": "x"})
    told = subprocess.run(["sh", "-c", f"{text}env"], capture_output=True, text=True, check=True, env={}).stdout
    lines = dict(line.split("=", 1) for line in told.splitlines())
    assert lines["https_proxy"] == lines["HTTPS_PROXY"] == "http://proxy:3128"
    assert lines["PIP_CERT"] == lines["SSL_CERT_FILE"] == f"{STAGE}/ca.crt"
    assert lines["MORE"] == "it's"
    assert "OTHER" not in lines


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("export http_proxy='http://127.0.0.1:3128'", True),
        ("index-url = http://user:secret@localhost/simple", True),
        ("http://[::1]:80/", True),
        ("https://pypi.example.org/simple", False),
        ("https://localhost.example.org/", False),
        ("no_proxy='localhost,127.0.0.1'", False),
    ],
)
def test_only_an_address_of_this_machine_needs_its_network(text: str, expected: bool) -> None:
    assert speaks_to_loopback(text) is expected


def test_apt_inside_gets_mirrors_and_no_path_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    dump = "\n".join(
        [
            'Acquire::http::Proxy "http://apt.example.org:3142";',
            'Acquire::Check-Valid-Until "false";',
            'Acquire::https::SslKey "/etc/keys/mine.pem";',
            'Acquire::http::Proxy-Auto-Detect "/usr/bin/detect";',
            'Dir::Etc "etc/apt";',
        ]
    )
    monkeypatch.setattr(package_access, "_output", lambda *command: dump if command[0] == "apt-config" else "")
    files = apt_files(debian_source())
    settings = files["apt/apt.conf"].decode()
    assert "apt.example.org:3142" in settings and "Check-Valid-Until" in settings
    assert "/etc/keys" not in settings and "/usr/bin/detect" not in settings and 'Dir::Etc "etc' not in settings
    assert files["apt/sources.list"].startswith(b"deb http")


def test_third_parties_mirrors_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = "\n".join(
        [
            "http://mirror.example.org/debian/|bookworm|main|Debian",
            "http://mirror.example.org/debian/|bookworm|contrib|Debian",
            "http://mirror.example.org/security/|bookworm-security|main|Debian",
            "https://vendor.example.org/apt/|bookworm|main|Vendor",
            "https://download.example.org/linux/|bookworm|stable|Docker",
        ]
    )
    monkeypatch.setattr(package_access, "_os_release", lambda: {"ID": "debian", "VERSION_CODENAME": "bookworm"})
    monkeypatch.setattr(package_access, "_output", lambda *command: listed)
    source = debian_source()
    assert (source.suite, source.mirror, source.components) == ("bookworm", "http://mirror.example.org/debian", "main")
    assert source.lines == (
        "deb http://mirror.example.org/debian bookworm main",
        "deb http://mirror.example.org/security bookworm-security main",
    )


def test_a_machine_that_is_no_debian_takes_the_public_mirrors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_access, "_os_release", lambda: {"ID": "fedora"})
    monkeypatch.setattr(package_access, "_output", lambda *command: "")
    assert debian_source().mirror == "http://deb.debian.org/debian"


def test_pips_settings_move_along_with_the_files_that_they_name(tmp_path: Path) -> None:
    home = tmp_path / "configuration"
    (home / "pip").mkdir(parents=True)
    (tmp_path / "ca.pem").write_text("authority")
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "a-1-py3-none-any.whl").write_bytes(b"zip")
    (tmp_path / "wheels" / "notes.txt").write_text("no")
    (tmp_path / "netrc").write_text("machine example.org login u password p")
    (home / "pip" / "pip.conf").write_text("[global]\nindex-url = https://one.example.org/simple\ntimeout = 9\n[install]\nno-binary = x\n")
    files, variables, text = pip_files(
        {
            "XDG_CONFIG_HOME": str(home),
            "XDG_CONFIG_DIRS": str(tmp_path),
            "NETRC": str(tmp_path / "netrc"),
            "PIP_INDEX_URL": "https://u:p@two.example.org/simple",
            "PIP_CERT": str(tmp_path / "ca.pem"),
            "PIP_FIND_LINKS": f"{tmp_path}/wheels {tmp_path}/gone https://three.example.org/links",
            "PIP_USER": "1",
        }
    )
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    settings = dict(parser["global"])
    assert settings["index-url"] == "https://u:p@two.example.org/simple", "a variable beats a file"
    assert (settings["timeout"], settings["no-binary"]) == ("9", "x")
    assert "user" not in settings, "how pip installs here is not where packages come from"
    folder, other = settings["find-links"].split()
    assert other == "https://three.example.org/links"
    inside = {f"{STAGE}/{name}": content for name, content in files.items()}
    assert inside[f"{folder}/a-1-py3-none-any.whl"] == tmp_path / "wheels" / "a-1-py3-none-any.whl"
    assert not any(name.endswith("notes.txt") for name in inside)
    assert inside[settings["cert"]] == tmp_path / "ca.pem" and variables["PIP_CERT"] == settings["cert"]
    assert inside[variables["NETRC"]] == (tmp_path / "netrc").read_bytes()
    assert inside[variables["PIP_CONFIG_FILE"]] == text.encode()
