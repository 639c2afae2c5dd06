"""Results as HTML pages: one look for all, self-contained, every text escaped, the research-use notice on
each.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from HER2ViTLib.messages import RESEARCH_NOTICE

TEMPLATES = Path(__file__).parent / "templates"


def html_page(
    template: str,
    pictures: Mapping[str, bytes],
    filters: Mapping[str, Callable[..., str]] | None = None,
    **values: Any,
) -> bytes:
    """The page of a template with `values`, `notice` and `pictures` (name to PNG), in UTF-8."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    environment.filters.update(filters or {})
    encoded = {name: base64.b64encode(png).decode() for name, png in pictures.items()}
    return (
        environment.get_template(template).render(pictures=encoded, notice=RESEARCH_NOTICE, **values).encode()
    )
