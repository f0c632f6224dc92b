"""The ``segnet`` command: each subcommand is one function whose signature is its options."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command; Ctrl-C while it is imported ends it without a traceback too."""
    try:
        from segnet.cli.launch import main as launch
    except KeyboardInterrupt:
        sys.exit(130)  # as ``training.interrupt.INTERRUPTED``, which may not be there yet
    launch()
