"""Pages that are one offline file: styles and script inside, and a content security policy that allows these by hash and nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

__all__ = ["offline_page", "template_text"]


def offline_page(template: str, values: Mapping[str, Any], *, styles: Sequence[str], script: str = "") -> str:
    """The whole page. ``values``: what the template names, `title` at least; every text of them is escaped, unless it is a `Markup`.

    ``styles``: files beside the template, in order. ``script``: the text of the one that may run; '': none may. The template includes
    `head.html`, and puts ``script`` where it belongs.
    """
    import jinja2  # imported here: only who writes a page needs them
    from markupsafe import Markup

    style = "\n" + "".join(map(template_text, styles))
    allowed = f"style-src '{_hash(style)}'" + (f"; script-src '{_hash(script)}'" if script else "")
    engine = jinja2.Environment(
        loader=jinja2.FunctionLoader(template_text),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    return engine.get_template(template).render(
        **values,
        policy=f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'",
        style=Markup(style),
        script=Markup(script),
    )


@cache
def template_text(name: str) -> str:
    """Of a file in `template/`."""
    return resources.files("harness.reporting").joinpath("template", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
