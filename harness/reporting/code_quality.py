"""`gl-code-quality.json`: findings on the lines of GitLab's merge requests.

GitLab's "Code Quality report format": a list of entries, paths from the root of the repository, fingerprints that are unique in the file.
"""

from __future__ import annotations

import json
from typing import Any

from harness.reporting.gate_remarks import Remark

__all__ = ["code_quality_text"]

_SEVERITY = {"error": "critical", "warning": "minor"}


def code_quality_text(remarks: list[Remark]) -> str:
    """What has no place in the repository is left out, as GitLab has no room for it; JUnit and the Markdown have it."""
    entries: list[dict[str, Any]] = [
        {
            "description": "\n".join((f"{remark.rule}: {remark.headline}", *remark.details, remark.where)),
            "check_name": f"celery-harness/{remark.rule}",
            "fingerprint": remark.identity,
            "severity": _SEVERITY[remark.level],
            "location": {"path": remark.place.path, "lines": {"begin": remark.place.line}},
        }
        for remark in remarks
        if remark.place is not None
    ]
    return json.dumps(entries, indent=1) + "\n"
