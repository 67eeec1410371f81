"""What docs/load-hosts.md shows is what Kubernetes and Locust take, as far as that can be told without either."""

from __future__ import annotations

import re
from typing import Any

from ruamel.yaml import YAML

from tests.tidy.repository import ROOT

PAGE = (ROOT / "docs" / "load-hosts.md").read_text()


def manifests() -> dict[tuple[str, str], dict[str, Any]]:
    """(kind, name) -> document."""
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    return {(one["kind"], one["metadata"]["name"]): one for one in YAML(typ="safe", pure=True).load_all(block)}


def test_the_manifests_fit_together() -> None:
    found = manifests()
    service, job, workers = found["Service", "load-master"], found["Job", "load-master"], found["Deployment", "load-worker"]
    pod = job["spec"]["template"]
    assert service["spec"]["selector"] == pod["metadata"]["labels"]
    assert workers["spec"]["selector"]["matchLabels"] == workers["spec"]["template"]["metadata"]["labels"]
    policy = found["NetworkPolicy", "load-master"]["spec"]
    assert policy["podSelector"]["matchLabels"] == pod["metadata"]["labels"]
    assert policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"] == workers["spec"]["template"]["metadata"]["labels"]
    (master,), (worker,) = pod["spec"]["containers"], workers["spec"]["template"]["spec"]["containers"]
    assert f"--expect-workers={workers['spec']['replicas']}" in master["args"]
    assert f"--master-host={service['metadata']['name']}" in worker["args"]
    assert {port["port"] for port in service["spec"]["ports"]} == {master["ports"][0]["containerPort"]} == {5557}
    assert {one["name"] for one in master["env"]} == {"LOCUST_HOST", "CELERY_HARNESS_RESULT_BACKEND"}
    assert all(part["args"][0] == "locust" and all(isinstance(word, str) for word in part["args"]) for part in (master, worker))
