"""How this machine reaches packages: certificates, proxies, Debian's mirror, pip's settings.

A build in a container needs the same. Everything here is laid beside a build for as long as it runs and never becomes
part of an image (`harness.runtimes.containers.building`): mirrors and indexes often carry credentials.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "STAGE",
    "DebianSource",
    "apt_files",
    "certificates",
    "debian_source",
    "debian_suite",
    "environment_file",
    "proxies",
    "speaks_to_loopback",
]

#: Where a build finds its files inside the container.
STAGE = "/celery-harness-build"

_BUNDLE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # macOS, BSD
)
#: Public mirrors: address, release ({} is the suite), components.
_PUBLIC: dict[str, list[tuple[str, str, list[str]]]] = {
    "debian": [
        ("http://deb.debian.org/debian", "{}", ["main"]),
        ("http://deb.debian.org/debian", "{}-updates", ["main"]),
        ("http://deb.debian.org/debian-security", "{}-security", ["main"]),
    ],
    "ubuntu": [
        ("http://archive.ubuntu.com/ubuntu", "{}", ["main", "universe"]),
        ("http://archive.ubuntu.com/ubuntu", "{}-updates", ["main", "universe"]),
        ("http://security.ubuntu.com/ubuntu", "{}-security", ["main", "universe"]),
    ],
}
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
_LOOPBACK = re.compile(r"://(?:[^/@\s]*@)?(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?=[:/\s\"']|$)")
#: What of apt's configuration says how to reach a mirror. Paths on this machine would mean nothing inside a container.
_APT_SETTING = re.compile(r"^Acquire::(?:(?:https?)\b|Check-|Retries|AllowInsecure)", re.IGNORECASE)
_APT_PATH = re.compile(r"::(?:CaInfo|CaPath|SslCert|SslKey|CrlFile|Proxy-Auto-Detect|ProxyAutoDetect|IssuerCert)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class DebianSource:
    """Where this machine has its Debian or Ubuntu packages from. ``components``: comma-separated; ``lines``: a sources.list."""

    suite: str
    mirror: str
    components: str
    lines: tuple[str, ...]


def certificates(environment: Mapping[str, str] = os.environ) -> bytes | None:
    """The authorities that this machine trusts, as one PEM file; None where none is found."""
    for path in [environment.get(name, "") for name in _BUNDLE_VARIABLES] + list(_BUNDLES):
        if path and Path(path).is_file():
            return Path(path).read_bytes()
    return None


def proxies(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The proxy variables that are set, in both spellings: programs disagree on which they read."""
    found: dict[str, str] = {}
    for name in _PROXY_VARIABLES:
        if value := environment.get(name) or environment.get(name.upper()):
            found[name] = found[name.upper()] = value
    return found


def speaks_to_loopback(*texts: str) -> bool:
    """Does an address in these settings mean this machine itself? A container reaches that only in the host's own network."""
    return any(_LOOPBACK.search(text) for text in texts)


def environment_file(more: Mapping[str, str] | None = None, environment: Mapping[str, str] = os.environ) -> str:
    """Shell lines that a build reads first: proxies, and the certificates' file for everything that asks for one."""
    values = proxies(environment)
    if certificates(environment) is not None:
        values |= dict.fromkeys((*_BUNDLE_VARIABLES, "PIP_CERT"), f"{STAGE}/ca.crt")
    values |= more or {}
    return "".join(f"export {name}={_quoted(value)}\n" for name, value in sorted(values.items()))


def debian_suite() -> str:
    """This machine's own suite, such as bookworm; Debian 12's where it is neither Debian nor Ubuntu."""
    return _distribution()[1]


def debian_source() -> DebianSource:
    """This machine's own suite and mirrors, without third parties; the public mirrors where it names none."""
    distribution, suite = _distribution()
    form = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)"
    found: dict[tuple[str, str], list[str]] = {}
    for line in _output("apt-get", "indextargets", "--format", form, "Identifier: Packages").splitlines():
        address, release, component, origin = (line.split("|") + [""] * 4)[:4]
        ours = release in (suite, f"{suite}-updates", f"{suite}-security") and component in ("main", "universe")
        # Of lists that were never fetched the origin is not known: the field stays as it was asked for.
        if ours and origin in ("Debian", "Ubuntu", "", "$(ORIGIN)"):
            components = found.setdefault((address.rstrip("/"), release), [])
            components += [] if component in components else [component]
    mirrors = [(address, components) for (address, release), components in found.items() if release == suite]
    if not mirrors:
        found = {(address, release.format(suite)): components for address, release, components in _PUBLIC[distribution]}
        mirrors = [(_PUBLIC[distribution][0][0], _PUBLIC[distribution][0][2])]
    lines = tuple(f"deb {address} {release} {' '.join(components)}" for (address, release), components in found.items())
    return DebianSource(suite, mirrors[0][0], ",".join(mirrors[0][1]), lines)


def apt_files(source: DebianSource) -> dict[str, bytes]:
    """What apt in a container needs, as files below the stage; APT_CONFIG names ``apt/apt.conf``."""
    settings = [
        f'Dir::Etc::sourcelist "{STAGE}/apt/sources.list";',
        'Dir::Etc::sourceparts "/dev/null";',
        f'Dir::Etc::netrc "{STAGE}/apt/auth.conf";',
        f'Dir::State::lists "{STAGE}/apt/lists";',
        f'Dir::Cache "{STAGE}/apt/cache";',
        f'Acquire::https::CaInfo "{STAGE}/ca.crt";' if certificates() is not None else "",
    ]
    settings += [line for line in _output("apt-config", "dump").splitlines() if _APT_SETTING.match(line) and not _APT_PATH.search(line)]
    return {
        "apt/apt.conf": "\n".join([*settings, ""]).encode(),
        "apt/sources.list": "\n".join([*source.lines, ""]).encode(),
        "apt/auth.conf": _apt_credentials().encode(),
        "apt/lists/partial/.keep": b"",
        "apt/cache/archives/partial/.keep": b"",
    }


def _apt_credentials() -> str:
    texts = []
    for path in [Path("/etc/apt/auth.conf"), *sorted(Path("/etc/apt/auth.conf.d").glob("*.conf"))]:
        if path.is_file() and os.access(path, os.R_OK):
            texts.append(path.read_text())
    return "\n".join(texts)


def _distribution() -> tuple[str, str]:
    here = _os_release()
    if here.get("ID") in _PUBLIC and here.get("VERSION_CODENAME"):
        return here["ID"], here["VERSION_CODENAME"]
    return "debian", "bookworm"


def _os_release() -> dict[str, str]:
    path = Path("/etc/os-release")
    lines = path.read_text().splitlines() if path.is_file() else []
    return {name: value.strip().strip('"') for name, _, value in (line.partition("=") for line in lines)}


def _output(*command: str) -> str:
    """What a program prints; nothing where it fails or is not there."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "'\\''") + "'"
