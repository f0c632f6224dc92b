"""The command that the others are added to, its exit codes, and how results and errors are printed.

Heavy libraries are imported inside the functions of all commands: ``segnet --help`` must not wait for torch.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import cyclopts
from cyclopts import Parameter
from rich.console import Console
from rich.measure import Measurement

from segnet import __version__
from segnet.base.errors import SegnetError
from segnet.base.settings import Whole
from segnet.data.options import BorderPolicy

if TYPE_CHECKING:
    from rich.table import Table

# Options that more than one command takes, and that are left out unless they are given.
Flag = Annotated[bool, Parameter(negative=())]
Json = Annotated[bool, Parameter(name="--json", negative=())]
OptionalText = Annotated[str | None, Parameter(show_default=False)]
OptionalPath = Annotated[Path | None, Parameter(show_default=False)]
OptionalWhole = Annotated[Whole | None, Parameter(show_default=False)]
OptionalBorder = Annotated[BorderPolicy | None, Parameter(show_default=False)]

SOME_FAILED, BAD_INPUT, OUR_FAULT, PROCESS_LOST, PIPE_CLOSED = 1, 2, 70, 75, 141


class App(cyclopts.App):
    """An app whose values are checked by our types alone.

    Where a program has imported pydantic, cyclopts lets pydantic check every value again. Pydantic refuses
    None, which is the default of numbers that a recipe fills in.
    """

    def parse_args(self, *arguments: Any, **options: Any) -> Any:
        """Parse as cyclopts does, while pydantic is out of its sight."""
        hidden = sys.modules.pop("pydantic", None)
        try:
            return super().parse_args(*arguments, **options)
        finally:
            if hidden is not None:
                sys.modules["pydantic"] = hidden


app = App(
    name="segnet",
    version=__version__,
    help="Train, understand and ship compact image-segmentation networks in PyTorch.",
)


def print_whole(table: Table) -> None:
    """Print a table as wide as it is: rich would cut numbers short where the terminal is narrow."""
    console = Console(highlight=False)
    unlimited = console.options.update(width=1000)
    console.width = max(console.width, Measurement.get(console, unlimited, table).maximum)
    console.print(table)


def print_folded(table: Table) -> None:
    """Print a table as wide as the terminal, or as its columns' ``min_width`` where these need more."""
    console = Console(highlight=False)
    least = sum((column.min_width or 0) + 3 for column in table.columns)
    console.width = max(console.width, least)
    console.print(table)


def print_all(*said: Table | str) -> None:
    """Print lines, and tables as wide as they are."""
    for each in said:
        print(each) if isinstance(each, str) else print_whole(each)


def say_error(error: object) -> None:
    """Print an error as one line."""
    text = " ".join(str(error).split())
    print(f"segnet: {text}", file=sys.stderr)


def require_drawable(path: Path | None, *moving: str) -> None:
    """Check the name of a picture to draw, if one is to be drawn, before anything is computed.

    Args:
        path: the file.
        moving: suffixes of films, where one may be drawn.

    Raises:
        SegnetError: another suffix.
    """
    known = (*moving, ".png", ".svg")
    if path is not None and path.suffix not in known:
        raise SegnetError(f"{path}: the file's name must end in {' or '.join(known)}")


def given(**options: Any) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value not in (None, ())}
