"""Draw the house: the packages under ``src/segnet/`` on their floors, as wide as they have lines.

    python docs/house.py docs/images/house.png

The floors and their packages are read from the table in ``CONTRIBUTING.md``.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "segnet"
COLOURS = ("#d8dfe6", "#f6e3c5", "#cfe3dc", "#e6d9ec", "#f3d6d3", "#e4e9cf", "#dbe5f1", "#ead9c6")


def floors() -> list[tuple[int, list[str]]]:
    """Return each floor's number and the rooms on it, top first, as CONTRIBUTING.md's table has them."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", text, re.MULTILINE)
    return [(int(number), re.findall(r"`(\w+)/`", rooms)) for number, rooms in rows]


def lines(room: str) -> int:
    """Return how many lines of Python a room has, with the rooms in it."""
    return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in (SOURCE / room).rglob("*.py"))


def draw(path: Path) -> None:
    """Write the picture."""
    house = floors()
    widest = max(sum(lines(room) for room in rooms) for _, rooms in house)
    figure = Figure(figsize=(9, 0.72 * len(house)), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    for number, rooms in house:
        left = 0.0
        for room in rooms:
            # a name needs some room, whatever the number of lines
            width = max(lines(room) / widest, 0.11)
            axes.barh(number, width, left=left, height=0.84, color=COLOURS[number], edgecolor="#555555")
            middle = left + width / 2
            axes.text(middle, number + 0.12, f"{room}/", ha="center", va="center", fontsize=11, weight="bold")
            axes.text(middle, number - 0.2, f"{lines(room):,} lines", ha="center", va="center", fontsize=8)
            left += width + 0.012
    axes.set_yticks([number for number, _ in house], [str(number) for number, _ in house])
    axes.set_ylabel("floor: imports go down")
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    figure.savefig(path, metadata={"Software": None})


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
