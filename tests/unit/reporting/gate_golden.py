"""Two gates as every report writes them, committed to be read by people; `python -m tests.unit.reporting.gate_golden` writes them anew."""

from __future__ import annotations

import json
from pathlib import Path

from harness.reporting.annotations import annotation_lines
from harness.reporting.code_quality import code_quality_text
from harness.reporting.gate_junit import gate_junit_text
from harness.reporting.gate_markdown import gate_markdown_text
from harness.reporting.gate_places import Places
from harness.reporting.gate_remarks import remarks
from harness.reporting.sarif import sarif_document
from tests.unit.reporting import gate_sample

FOLDER = Path(__file__).with_name("golden")


def documents() -> dict[str, str]:
    """File name -> text. SARIF without the tool, whose version changes with each release; Markdown as text: its links lead nowhere."""
    root = Path("/project")
    places = Places(root, root, "https://example.org/o/r/blob/abc/")
    made = {}
    for name in ("hostile", "mixed"):
        result = gate_sample.ALL[name]()
        said = remarks(result, places)
        run = {key: value for key, value in sarif_document(result, said, places)["runs"][0].items() if key != "tool"}
        made |= {
            f"{name}.gate.md.txt": gate_markdown_text(result, places),
            f"{name}.junit.xml": gate_junit_text(result, FOLDER),
            f"{name}.annotations.txt": "".join(f"{line}\n" for line in annotation_lines(said)),
            f"{name}.results.sarif": json.dumps(run, indent=1) + "\n",
            f"{name}.code-quality.json": code_quality_text(said),
        }
    return made


if __name__ == "__main__":
    for file, text in documents().items():
        (FOLDER / file).write_text(text, encoding="utf-8")
