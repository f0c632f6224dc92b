"""``segnet export --to coreml``: write the package, and read it back."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

from segnet.base.colours import hex_code
from segnet.base.quiet import quiet
from segnet.export.parity import Logits, Precision
from segnet.export.target_files import Job
from segnet.inference.description import KEY
from segnet.inference.runtimes import INPUT

RUN_BY = "segnet's evaluation of Core ML's operations in PyTorch; no Apple device has run the file"


def write(job: Job, path: Path) -> None:
    """Write a model as an ``.mlpackage`` for images of its size, from iOS 15 and macOS 12 on."""
    description, network = job.segmenter.description, job.layers
    with _quiet():
        import coremltools

        from segnet.export.coreml.program import to_program

        target = coremltools.target.iOS15
        channels = network.scaling.channels
        image = coremltools.ImageType(
            name=INPUT,
            shape=(1, channels, *description.size),
            color_layout="RGB" if channels == 3 else "G",
        )
        model = coremltools.convert(
            to_program(network, description.size, target),
            source="milinternal",
            convert_to="mlprogram",
            compute_precision=getattr(coremltools.precision, job.precision.upper()),
            inputs=[image] if channels in (1, 3) else None,
            minimum_deployment_target=target,
            skip_model_load=True,
        )
        classes = description.classes
        colours = [hex_code(colour) for colour in classes.colours]
        model.short_description = f"{description.model}: {', '.join(classes.names)}"
        model.license = description.notice
        # by these Xcode shows masks of photos that are dropped on the file
        model.user_defined_metadata["com.apple.coreml.model.preview.type"] = "imageSegmenter"
        model.user_defined_metadata["com.apple.coreml.model.preview.params"] = json.dumps(
            {"labels": list(classes.names), "colors": colours}
        )
        model.user_defined_metadata[KEY] = description.for_devices().to_json()
        model.save(str(path))


@contextmanager
def opened(path: Path) -> Iterator[tuple[Logits, str]]:
    """Give what a package computes, and in words what computes it."""
    with _quiet():
        from segnet.export.coreml.mil_evaluation import Evaluation

        evaluation = Evaluation(path)
    yield evaluation.logits, RUN_BY


def remarks_on(path: Path, size_bytes: int, stored: Precision, run_by: str) -> tuple[str, ...]:
    """Return what there is to know of a package that was written, in sentences."""
    del path, size_bytes
    why = ", since float16 gives too many pixels another class" if stored == "float32" else ""
    return (f"weights are stored and maps computed as {stored}{why}", f"the file was run by {run_by}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back progress bars, and what coremltools says of parts that only Apple's systems have."""
    with quiet(), redirect_stderr(io.StringIO()):
        yield
