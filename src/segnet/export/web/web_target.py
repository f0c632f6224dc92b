"""``segnet export --to web`` and ``--to html``: write the file, read it back, and say what ran it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segnet.export.parity import Logits, Precision
from segnet.export.reference import Reference
from segnet.export.target_files import Job, why_float32
from segnet.export.web.under_node import ENGINE, Node, find_node, running
from segnet.export.web.web_file import about, from_bytes, to_bytes
from segnet.export.web.web_page import model_in, page_with

PAGE_SUFFIX = ".html"
ENGINE_NAME = "segnet-engine.mjs"
"""What lies beside a model file: the engine that a page imports."""
_LARGE = 30e6


def write(job: Job, path: Path) -> None:
    """Write the model, by the suffix as a file with the engine beside it, or as a page.

    Raises:
        SegnetError: as ``page_with``.
    """
    model = to_bytes(about(job.segmenter), job.layers, job.precision)
    if path.suffix == PAGE_SUFFIX:
        path.write_text(page_with(model, job.segmenter.classes.names), encoding="utf-8", newline="\n")
        return
    path.write_bytes(model)
    if ENGINE.is_file():
        shutil.copyfile(ENGINE, path.with_name(ENGINE_NAME))


@contextmanager
def opened(path: Path) -> Iterator[tuple[Logits, str]]:
    """Give what a file computes, by the engine where Node is there, and in words what computes it.

    Raises:
        SegnetError: a file that is damaged, or an engine that fails.
    """
    content = path.read_bytes()
    model = model_in(content.decode(), path) if path.suffix == PAGE_SUFFIX else content
    _, network = from_bytes(model, path)
    node = find_node()
    if not isinstance(node, Node):
        yield Reference(network).logits, f"segnet's reference of the format in Python, since {node}"
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.segnet"
        file.write_bytes(model)
        with running(node, file) as engine:
            yield engine.logits, f"the engine under Node {node.version} ({engine.backend})"


def remarks_on(path: Path, size_bytes: int, stored: Precision, run_by: str) -> tuple[str, ...]:
    """Return what there is to know of a file that was written, in sentences."""
    remarks = [f"weights are stored as {stored}{why_float32(stored)}", f"the file was run by {run_by}"]
    if path.suffix == PAGE_SUFFIX:
        if size_bytes > _LARGE:
            remarks.append(
                f"a page of {size_bytes / 1e6:.0f} MB opens slowly; --int8 halves it, and compact models "
                "(segnet-nano, segnet-lite) have far smaller pages"
            )
    elif path.with_name(ENGINE_NAME).is_file():
        remarks.append(
            f"{path.with_name(ENGINE_NAME)} beside it is the engine, which a page of yours imports"
        )
    else:
        remarks.append(
            f"{ENGINE_NAME} isn't beside it: this installation lacks the engine; install segnet again"
        )
    return tuple(remarks)
