"""Trainings that leave out what people look at, which takes longer than a tiny network's steps.

Run as a script, it is the segnet command that does so.
"""

from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from PIL import Image

from segnet.runs.run_folder import RunFolder
from segnet.training import loop
from segnet.training.outputs import artifacts

STAND_INS = {
    (artifacts, "count_macs"): lambda *_: 1,
    (artifacts, "preview_panel"): lambda *_, **__: Image.new("RGB", (1, 1)),
    (artifacts, "draw_mistakes"): lambda *_, **__: [],
    (artifacts, "write_learning_gif"): lambda _, target: target.touch(),
    (loop, "write_report"): lambda folder: RunFolder(folder).report.touch(),
}
ORIGINALS = {(module, name): getattr(module, name) for module, name in STAND_INS}


@contextmanager
def plain():
    """Inside, runs leave the same files, with next to nothing in previews, GIF, worst images and report."""
    with _as(STAND_INS):
        yield


@contextmanager
def whole():
    """Inside, they are drawn, whatever is around it."""
    with _as(ORIGINALS):
        yield


@contextmanager
def _as(functions):
    with ExitStack() as patches:
        for (module, name), function in functions.items():
            patches.enter_context(patch.object(module, name, function))
        yield


if __name__ == "__main__":
    from segnet.cli import main

    with plain():
        main()
