"""The image that workers and producer run in: the user's own, built from their Dockerfile, or made from their requirements."""

from __future__ import annotations

import contextlib
import re
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException

from harness.errors import EnvironmentFault, ScenarioError
from harness.model.scenario import Build, System
from harness.runtimes.containers.building import (
    BUILD_NAME,
    LABEL,
    BuildFailed,
    Building,
    Content,
    Say,
    digest,
    engine_errors,
    locked,
    make_image,
)
from harness.runtimes.containers.images import Chosen, present, pull, resolve
from harness.runtimes.containers.package_access import certificates, environment_file, proxies, speaks_to_loopback
from harness.runtimes.containers.pip_access import pip_files
from harness.runtimes.containers.requirements import Requirements, find_requirements

__all__ = ["worker_image"]

_REPOSITORY = "celery-harness/worker"
_SCRIPT = Path(__file__).parent / "local_images" / "worker" / "run.sh"
_PIP_FAILED, _NO_CELERY, _NO_PYTHON = 41, 42, 43  # the script's own
_CREDENTIALS = re.compile(r"://[^/@\s]+@")
_STEP = re.compile(r"^Step \d+/\d+ : ")
_TAIL = 25
#: The engine's words, or its runtime's, for a program that is not there.
_NO_PROGRAM = ("executable file not found", "no such file or directory")
_PROBE = "import celery; print(celery.__version__)"

#: Label of an image that was made for a project: the project's folder. So many of one project are kept.
_PROJECT, _KEPT = "celery-harness.project", 4

#: Images of the user's that are known to hold Python and Celery, by id.
_probed: set[str] = set()


def worker_image(client: docker.DockerClient, *, root: Path, system: System, say: Say, chosen_python: str = "") -> Chosen:
    """The image for this system's app, present at the engine; it holds ``python`` and Celery.

    ``chosen_python``: the interpreter whose environment is taken where the project names no requirements; none: `system.python`,
    else the harness's own. ScenarioError for a file that is missing or wrong, such as requirements without Celery;
    EnvironmentFault for an image that is missing, cannot be made, or has no Python or no Celery.
    """
    if system.image:
        return _own(client, system.image, say)
    if (build := system.build_spec) is not None:
        return _built(client, root, build, say)
    return _from_requirements(client, root, system, chosen_python or system.python or sys.executable, say)


def _own(client: docker.DockerClient, reference: str, say: Say) -> Chosen:
    if present(client, reference) is None:
        pull(client, reference, say=say, origin="the scenario")
    return _held(client, reference, "the scenario's image")


def _held(client: docker.DockerClient, reference: str, origin: str) -> Chosen:
    """An image of the user's, if workers can run in it."""
    image = present(client, reference)
    if image is None:
        raise EnvironmentFault(f"the image {reference} has gone from the engine", hint="does something remove images meanwhile?")
    if image["Id"] not in _probed:
        _probe(client, reference)
        _probed.add(image["Id"])
    return Chosen("worker", reference, origin, str(image["Id"]))


def _probe(client: docker.DockerClient, reference: str) -> None:
    with engine_errors(f"looking into the image {reference}"):
        container = client.containers.create(
            reference,
            entrypoint=["python", "-c", _PROBE],
            command=[],
            name=f"{BUILD_NAME}probe-{uuid.uuid4().hex[:8]}",
            network_mode="none",
            labels={LABEL: "worker"},
        )
        try:
            try:
                container.start()
            except APIError as exc:
                why = str(exc.explanation or exc)
                if not any(words in why for words in _NO_PROGRAM):
                    raise
                raise _unfit(reference, "it has no `python` on PATH", why) from exc
            status = int(container.wait(timeout=60)["StatusCode"])
            said = container.logs().decode(errors="replace").strip()
        finally:
            with contextlib.suppress(DockerException, requests.RequestException):
                container.remove(force=True, v=True)
    if status != 0:
        missing = "it has no Celery" if "No module named 'celery'" in said else f"`import celery` ends with status {status} in it"
        raise _unfit(reference, missing, "\n".join(said.splitlines()[-_TAIL:]))


def _unfit(reference: str, what: str, said: str) -> EnvironmentFault:
    """The environment's fault, as every image is in which nothing can run; requirements without Celery are a file to mend."""
    return EnvironmentFault(
        "\n".join(filter(None, [f"no worker can run in the image {reference}: {what}", said])),
        hint="it must hold `python` 3.8 or later with your app and Celery; without `image` and `build` one is made from your requirements",
    )


def _built(client: docker.DockerClient, root: Path, build: Build, say: Say) -> Chosen:
    context = (root / build.context).resolve()
    if not (context / build.dockerfile).is_file():
        raise ScenarioError(f"build: there is no {build.dockerfile} in {context}", hint="`build: {context: folder, dockerfile: name}`")
    arguments = {**proxies(), **build.args}
    tag = f"{_REPOSITORY}:build-{digest(str(context), build.dockerfile, build.target or '', repr(sorted(build.args.items())))}"
    say(f"building {build.dockerfile} in {context}")
    with locked(tag), engine_errors(f"building {context / build.dockerfile}"):
        before = present(client, tag)
        try:
            events = client.api.build(
                path=str(context),
                dockerfile=build.dockerfile,
                target=build.target or "",
                tag=tag,
                buildargs=arguments,
                labels={LABEL: "worker", _PROJECT: str(root)},
                network_mode="host" if speaks_to_loopback(*proxies().values()) else None,
                rm=True,
                forcerm=True,
                decode=True,
            )
            _follow(events, context / build.dockerfile)
        except APIError as exc:
            raise _build_failed(context / build.dockerfile, "", str(exc.explanation or exc), []) from exc
        after = present(client, tag)
        if before is not None and after is not None and before["Id"] != after["Id"]:
            with contextlib.suppress(DockerException):  # something may still run in it
                client.images.remove(before["Id"])
    return _held(client, tag, f"built from {context / build.dockerfile}")


def _follow(events: Iterator[dict[str, Any]], dockerfile: Path) -> None:
    """Read the build's log to its end; EnvironmentFault with the step that failed."""
    step = ""
    lines: list[str] = []
    for event in events:
        if "error" in event:
            raise _build_failed(dockerfile, step, str(event["error"]), lines)
        for line in str(event.get("stream", "")).splitlines():
            if _STEP.match(line):
                step, lines = line, []
            elif line.strip():
                lines.append(line.rstrip())


def _build_failed(dockerfile: Path, step: str, why: str, lines: list[str]) -> EnvironmentFault:
    at = f" at {step}" if step else ""
    hint = f"the same by hand: docker build -f {dockerfile} {dockerfile.parent}"
    if "buildkit" in why.lower():
        hint = "it needs BuildKit: build it yourself (`docker build -t my-app .`) and write `image: my-app` in place of `build`"
    return EnvironmentFault("\n".join([f"the build failed{at}: {why.strip()}", *lines[-_TAIL:]]), where=str(dockerfile), hint=hint)


def _from_requirements(client: docker.DockerClient, root: Path, system: System, python: str, say: Say) -> Chosen:
    needed = find_requirements(root, system, python)
    base = resolve(client, "python", root=root, chosen=system.images, say=say)
    with engine_errors(f"looking at the image {base.reference}"):
        base_id = client.api.inspect_image(base.reference)["Id"]
    tag = f"{_REPOSITORY}:{digest(base_id, _SCRIPT.read_bytes(), *needed.parts())}"
    origin = f"{needed.where} on {base.reference}"
    with locked(tag):  # several scenarios side by side want the same one
        if present(client, tag) is None:
            say(f"making the workers' image from {origin}; it is kept for the next time")
            if needed.left_out:
                say(f"not in it, since no index has them: {', '.join(needed.left_out)}")
            _install(client, needed, base.reference, tag, say, root)
            _forget_old(client, root)
        image = present(client, tag)
    if image is None:
        raise EnvironmentFault(f"the image {tag} has gone from the engine", hint="does something remove images meanwhile?")
    return Chosen("worker", tag, origin, str(image["Id"]))


def _forget_old(client: docker.DockerClient, root: Path) -> None:
    """Requirements that change leave an image each: the oldest of this project's go, but for those that something runs in.

    By their tags: a user's image that stands on one of ours has its labels too.
    """
    with contextlib.suppress(DockerException, requests.RequestException):
        made = client.api.images(filters={"label": f"{_PROJECT}={root}"})
        ours = [(image["Created"], tag) for image in made for tag in image["RepoTags"] or () if tag.startswith(f"{_REPOSITORY}:")]
        for _, tag in sorted(ours, reverse=True)[_KEPT:]:
            with contextlib.suppress(APIError):  # in use
                client.api.remove_image(tag)


def _install(client: docker.DockerClient, needed: Requirements, base: str, tag: str, say: Say, root: Path) -> None:
    pip, variables, settings = pip_files()
    environment = environment_file(variables)
    files: dict[str, Content] = {**needed.files, **pip, "run.sh": _SCRIPT.read_bytes(), "environment": environment.encode()}
    if (bundle := certificates()) is not None:
        files["ca.crt"] = bundle
    labels, loopback = {_PROJECT: str(root)}, speaks_to_loopback(environment, settings)
    building = Building("worker", base, tag, "run.sh", files, labels=labels, host_network=loopback)
    try:
        make_image(client, building, say)
    except BuildFailed as exc:
        written = "\n".join(line for line in exc.output.splitlines() if not line.startswith("== "))  # those are ours, of progress
        output = _CREDENTIALS.sub("://", written)
        if exc.status == _NO_CELERY:
            raise ScenarioError(
                "Celery is not among what these requirements install", where=needed.where, hint="add the line: celery[redis]>=5.3"
            ) from None
        if exc.status == _NO_PYTHON:
            raise EnvironmentFault(f"the image {base} has no `python` on PATH", hint="`images: {python: …}` names another one") from None
        what = "pip could not install the requirements" if exc.status == _PIP_FAILED else "the workers' image could not be made"
        raise EnvironmentFault(
            f"{what} in {base}; its last lines:\n{output}", where=needed.where, hint="does `pip install` of the same work here?"
        ) from None
