"""How often a run's state is saved inside an epoch, as it is typed: so many steps, or so long.

Imports nothing heavy, so ``segnet --help`` is quick.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from segnet.base.errors import SegnetError

_SECONDS = {"s": 1, "min": 60, "h": 3600}


@dataclass(frozen=True)
class SaveEvery:
    """One of the two is 0, or both, where only whole epochs are saved."""

    steps: int = 0
    """Optimizer steps, counted from the beginning of the epoch."""
    seconds: int = 0

    def is_due(self, step: int, waited: float) -> bool:
        """Say whether it is time: ``step`` steps into the epoch, ``waited`` seconds after the last save."""
        return bool(self.steps and step % self.steps == 0) or bool(self.seconds and waited >= self.seconds)


def parse_save_every(value: int | str) -> SaveEvery:
    """Return what 500, "500", "90s", "10min" or "2h" say.

    Raises:
        SegnetError: something else.
    """
    match = re.fullmatch(r"(\d+) *(s|min|h)?", str(value).strip())
    if not match:
        raise SegnetError(
            f"--save-every takes steps or a time, such as 500, 90s, 10min or 2h; 0 = after each epoch; "
            f"not {value!r}"
        )
    number, unit = int(match[1]), match[2]
    return SaveEvery(steps=number) if unit is None else SaveEvery(seconds=number * _SECONDS[unit])
