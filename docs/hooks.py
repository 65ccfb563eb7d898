"""What MkDocs does besides: the roles of the docstrings (``:func:`name```) become plain code."""

from __future__ import annotations

import re
from typing import Any

ROLE = re.compile(r":(?:py:)?(?:class|func|meth|mod|attr|data|exc):<code>~?([^<]+)</code>")


def on_page_content(html: str, **_: Any) -> str:
    """Called by MkDocs with each page's HTML."""
    return ROLE.sub(r"<code>\1</code>", html)
