"""The page around a model file: one HTML file that segments photos, offline."""

from __future__ import annotations

import base64
import gzip
import html
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

from segnet.base.class_roles import background_of
from segnet.base.errors import SegnetError

PAGE = Path(__file__).with_name("page.html")
"""The page without a model, built from web/; a broken installation has none."""
_TITLE = "<title>segnet</title>"
_BEFORE, _AFTER = '<script type="application/octet-stream" id="model">', "</script>"
_FULL = re.compile(f"{re.escape(_BEFORE)}([A-Za-z0-9+/=]+){re.escape(_AFTER)}")


def require_page() -> None:
    """Check that the page is part of this installation.

    Raises:
        SegnetError: it isn't.
    """
    if not PAGE.is_file():
        raise SegnetError(
            f"--to html needs {PAGE}, which this installation lacks; install segnet again, or run make page "
            "in the repository"
        )


def page_with(model: bytes, names: Sequence[str]) -> str:
    """Return the page with a model file inside; the same file gives the same page.

    Args:
        model: the file's bytes.
        names: its classes, for the page's title.

    Raises:
        SegnetError: a page that isn't in this installation, or has no place for a model.
    """
    require_page()
    page, place = PAGE.read_text(encoding="utf-8"), f"{_BEFORE}{_AFTER}"
    if page.count(place) != 1 or page.count(_TITLE) != 1:
        raise SegnetError(f"{PAGE} has no place for a model; install segnet again")
    inside = base64.b64encode(gzip.compress(model, 9, mtime=0)).decode()
    shown = ", ".join(name for name in names if name != background_of(names)) or names[0]
    title = f"<title>{html.escape(shown)} · segnet</title>"
    return page.replace(_TITLE, title).replace(place, f"{_BEFORE}{inside}{_AFTER}")


def model_in(page: str, file: Path) -> bytes:
    """Return the bytes of the model file inside a page.

    Args:
        page: what ``page_with`` returned.
        file: where it comes from, for the error.

    Raises:
        SegnetError: no page of segnet's, or one that is cut or damaged.
    """
    found = _FULL.search(page)
    if found is None:
        raise SegnetError(
            f"{file} holds no model of segnet's; segnet export RUN --to html writes one that does"
        )
    try:
        return gzip.decompress(base64.b64decode(found[1], validate=True))
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise SegnetError(f"the model inside {file} is damaged ({error}); export it again") from error
