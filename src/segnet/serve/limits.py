"""What a server allows, to whom, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from segnet.base.errors import refuse
from segnet.data.images.reading import pixels_of


@dataclass(frozen=True)
class Limits:
    """What a server allows.

    Raises:
        SegnetError: a limit that leaves nothing, a token that no header can carry, a page that isn't there.
    """

    token: str | None = None
    """What clients must send as ``Authorization: Bearer TOKEN``; None asks for none."""
    cors: tuple[str, ...] = ()
    """Origins whose pages may call the server from a browser."""
    page: Path | None = None
    """An HTML file that is shown at ``/`` in place of the upload form."""
    max_bytes: int = 32_000_000
    """Of a request's body."""
    max_megapixels: int = 50
    """Of an image."""
    queue: int = 16
    """Images that may wait."""
    workers: int | None = None
    """Images that are computed at the same time; None is one for each core."""
    timeout_s: float = 60.0
    """From a request's headers to its answer."""

    def __post_init__(self) -> None:
        pixels_of(self.max_megapixels)
        token, page = self.token, self.page
        refuse(
            (self.max_bytes < 1, f"--max-bytes must be 1 or more, got {self.max_bytes}"),
            (self.queue < 0, f"--queue must be 0 or more, got {self.queue}"),
            (
                self.workers is not None and self.workers < 1,
                f"--workers must be 1 or more, got {self.workers}",
            ),
            (not 0 < self.timeout_s < 86_400, f"--timeout must be seconds above 0, got {self.timeout_s:g}"),
            (
                token is not None
                and not (token.isascii() and token.isprintable() and token.strip() == token != ""),
                "the token must be printable ASCII without spaces around it; openssl rand -hex 32 makes one",
            ),
            (
                page is not None and not page.is_file(),
                f"there is no page {page}; segnet export --to html writes one",
            ),
        )


def require_token_beyond_here(host: str, token: str | None) -> None:
    """Check that whoever can reach the server from another machine needs a token.

    Raises:
        SegnetError: another address than this machine's own, and no token.
    """
    refuse(
        (
            token is None and not _is_loopback(host),
            f"--host {host} can be reached from other machines, so clients need a token: set SEGNET_TOKEN or "
            "give --token (openssl rand -hex 32 makes one)",
        )
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name, which may be resolved to anything
        return host == "localhost"
