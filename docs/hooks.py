"""What MkDocs does besides: docstring roles (``:func:`name```) become plain code, wide tables get their room."""

from __future__ import annotations

import re
from typing import Any

ROLE = re.compile(r":(?:py:)?(?:class|func|meth|mod|attr|data|exc):<code>~?([^<]+)</code>")
WIDE = ("zoo.md", "figures.md")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Called by MkDocs before a page is rendered: the table of contents makes room."""
    if page.file.src_uri in WIDE:
        page.meta["hide"] = ["toc"]
    return markdown


def on_page_content(html: str, **_: Any) -> str:
    """Called by MkDocs with each page's HTML."""
    return ROLE.sub(r"<code>\1</code>", html)
