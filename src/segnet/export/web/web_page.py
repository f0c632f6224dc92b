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


def require_page(page: Path, command: str) -> None:
    """Check that a page is part of this installation.

    Raises:
        SegnetError: it isn't.
    """
    if not page.is_file():
        raise SegnetError(
            f"{command} needs {page}, which this installation lacks; install segnet again, or run make page "
            "in the repository"
        )


def page_with(model: bytes, names: Sequence[str]) -> str:
    """Return the page that segments photos with a model file inside; the same file gives the same page.

    Args:
        model: the file's bytes.
        names: its classes, for the page's title.

    Raises:
        SegnetError: as ``filled``.
    """
    page = filled(PAGE, model, "--to html")
    if page.count(_TITLE) != 1:
        raise SegnetError(f"{PAGE} has no place for a model; install segnet again")
    shown = ", ".join(name for name in names if name != background_of(names)) or names[0]
    return page.replace(_TITLE, f"<title>{html.escape(shown)} · segnet</title>")


def filled(page: Path, model: bytes, command: str) -> str:
    """Return a page with a model file inside.

    Args:
        page: the page without one.
        model: the file's bytes.
        command: what needs the page, for the error.

    Raises:
        SegnetError: a page that isn't in this installation, or has no place for a model.
    """
    require_page(page, command)
    text, place = page.read_text(encoding="utf-8"), f"{_BEFORE}{_AFTER}"
    if text.count(place) != 1:
        raise SegnetError(f"{page} has no place for a model; install segnet again")
    inside = base64.b64encode(gzip.compress(model, 9, mtime=0)).decode()
    return text.replace(place, f"{_BEFORE}{inside}{_AFTER}")


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
