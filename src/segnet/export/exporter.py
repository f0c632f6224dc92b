"""``segnet export``: one file for a runtime, proven equal to its model before it gets its name."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import helper
from torch import nn

from segnet.base.classes import ClassTable
from segnet.base.errors import SegnetError, did_you_mean, refuse
from segnet.base.extras import is_installed, require_package
from segnet.base.files import expand_home, replacing, write_text
from segnet.core.kernels.exported import half_constants
from segnet.data.images.pixel_values import Pixels
from segnet.export.onnx_graph import save_program, to_graph, to_program
from segnet.export.pictures import Pictures, calibration_pictures, compared_pictures
from segnet.export.smaller import to_int8, with_half_weights
from segnet.inference.description import KEY
from segnet.inference.model_file import read_model
from segnet.inference.opening import find_model, load
from segnet.inference.runtimes.with_torch import TorchRuntime
from segnet.inference.segmenter import Segmenter
from segnet.models.folding import fold_batch_norms
from segnet.scoring.metrics import ScoreCounter

Target = Literal["onnx", "openvino", "torch"]
Precision = Literal["float32", "float16", "int8"]
_SUFFIX: dict[Target, str] = {"onnx": ".onnx", "openvino": ".xml", "torch": ".pt2"}

_VERSIONS = ("segnet", "torch", "onnx", "onnxscript", "onnxruntime", "openvino")

EQUAL_PIXELS = 0.999  # of a file in floating point
# Mean IoU of an int8 file's masks with the model's, where there is no truth to lose mean IoU of. Pixels that
# change sides in doubt cost it several points and the score next to nothing: pets-lite has 0.964 on its own
# photographs and loses 0.03 points there. A file that was calibrated on the wrong images is far below.
AGREEMENT = 0.9


Logits = Callable[[Pixels], npt.NDArray[np.float32]]
"""From images ``(N, h, w, C)`` to logits ``(N, classes, h, w)``."""

_BATCH = 16
_TIMED = 15


@dataclass(frozen=True)
class Parity:
    """How an exported file compares with the model that it was made of."""

    images: str
    count: int
    largest_logit_difference: float
    equal_pixels: float
    """Share of the pixels that get the same class."""
    mean_iou_model: float | None
    """With the truth; None where it isn't known, or no class occurs."""
    mean_iou_file: float | None
    """With the truth, or with the model's own masks where that isn't known."""
    latency_ms_model: float
    """Median for one image, in PyTorch."""
    latency_ms_file: float

    @property
    def has_truth(self) -> bool:
        """Whether scores are taken with the truth, and not with the model's own masks."""
        return self.mean_iou_model is not None

    @property
    def mean_iou_lost(self) -> float:
        """How much worse the file is with the truth, 0 to 1; 0 where that isn't known."""
        if self.mean_iou_model is None or self.mean_iou_file is None:
            return 0.0
        return self.mean_iou_model - self.mean_iou_file


@dataclass(frozen=True)
class Exported:
    """What came of an export."""

    path: Path
    """The file; named ``*.failed.*`` where it isn't equal enough."""
    report: Path
    """The comparison as JSON, beside it."""
    parity: Parity
    size_bytes: int
    failure: str
    """Why it failed, "" where it passed."""
    said: Mapping[str, Any]
    """What the report says, as plain values."""


def export(
    source: str | Path,
    *,
    to: Target = "onnx",
    precision: Precision = "float32",
    out: Path | None = None,
    images: str | None = None,
    calibrate: str | None = None,
    max_loss: float = 1.0,
    data: Mapping[str, Any] | None = None,
    model: nn.Module | None = None,
) -> Exported:
    """Export a model and compare the file with it; both are left beside each other.

    Args:
        source: a run folder, a ``.safetensors`` file or a bundled name.
        to: for which runtime.
        precision: in which the weights are kept, or of int8 the larger convolutions computed.
        out: the file to write; by default beside the model, of a bundled one in the working folder.
        images: photos to compare on, a folder or a pattern; by default what the model was validated on, and
            where that isn't here what int8 is calibrated on.
        calibrate: int8: photos to calibrate on; by default those that the model was trained on.
        max_loss: int8: points of mean IoU that may be lost, where masks to compare with are there.
        data: fields of ``DataOptions``: where the model's own data is, if it has moved.
        model: for a file with a module of the user's own, that module.

    Raises:
        SegnetError: a source, target or precision that can't be exported, or images that aren't there. Then
            nothing is written.
    """
    _check(to, precision, out, calibrate, max_loss)
    path = find_model(source, exported=False)
    if path.suffix in _SUFFIX.values():
        raise SegnetError(
            f"{path} is exported already; export the run folder or .safetensors file it came from"
        )
    opened, description = read_model(path, model)
    segmenter = Segmenter(TorchRuntime(opened), description)
    target = _target(source, to, precision) if out is None else expand_home(out)
    compared = compared_pictures(source, segmenter, images, data or {}, instead=calibrate)
    is_int8, data = precision == "int8", data or {}
    calibration = calibration_pictures(source, segmenter, calibrate, data) if is_int8 else None
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / target.name
        _write(segmenter, to, precision, calibration, draft)
        parity = compare(segmenter.runtime.logits, _opened(draft, to), compared, segmenter.classes)
        limits, failure = judge(parity, precision, max_loss)
        if failure:
            target = target.with_name(f"{target.stem}.failed{target.suffix}")
        size = 0
        for part in sorted(Path(folder).iterdir(), key=lambda each: each.suffix == ".xml"):
            content = part.read_bytes()
            size += len(content)
            with replacing(target.with_suffix(part.suffix)) as temporary:
                temporary.write_bytes(content)
    said = {
        "source": str(source),
        "file": target.name,
        "to": to,
        "precision": precision,
        "passed": not failure,
        "failure": failure,
        "limits": limits,
        "bytes": size,
        **asdict(parity),
        "versions": {name: version(name) for name in _VERSIONS if is_installed(name)},
    }
    report = target.with_name(f"{target.name}.parity.json")
    write_text(report, json.dumps(said, indent=1) + "\n")
    return Exported(target, report, parity, size, failure, said)


def _check(
    to: Target, precision: Precision, out: Path | None, calibrate: str | None, max_loss: float
) -> None:
    precisions, suffix, named = get_args(Precision), _SUFFIX.get(to, ""), out or Path()
    is_misnamed = out is not None and out.suffix != suffix
    refuse(
        (to not in _SUFFIX, f"there is no target {to!r}{did_you_mean(to, _SUFFIX)}"),
        (
            precision not in precisions,
            f"there is no precision {precision!r}{did_you_mean(precision, precisions)}",
        ),
        (
            to == "torch" and precision != "float32",
            f"--to torch keeps float32; take --to onnx or openvino for {precision}",
        ),
        (
            max_loss < 0,
            f"--max-loss is points of mean IoU, at least 0, got {max_loss}",
        ),
        (calibrate is not None and precision != "int8", "--calibrate is for --int8"),
        (
            is_misnamed and named.is_dir(),
            f"--out {out} is a folder; name a file, such as {named / 'model'}{suffix}",
        ),
        (is_misnamed, f"--out {out}: a file for {to} ends in {suffix}"),
    )
    if to == "openvino":
        require_package("segnet export --to openvino", "openvino")
    if to == "onnx" or precision == "int8":
        require_package("segnet export", "onnxruntime")


def _target(source: str | Path, to: Target, precision: Precision) -> Path:
    path = expand_home(source)
    kind = {"float32": "", "float16": ".fp16", "int8": ".int8"}[precision] + _SUFFIX[to]
    if path.is_dir():
        return path / f"model{kind}"
    return path.with_name(path.stem + kind) if path.exists() else Path(f"{source}{kind}")


def _write(
    segmenter: Segmenter, to: Target, precision: Precision, calibration: Pictures | None, path: Path
) -> None:
    description, model = segmenter.description, segmenter.model
    channels = description.intensity.channels
    text = description.to_json()
    if to == "torch":
        save_program(to_program(model, description.size, channels), path, text)
        return
    if calibration is None:
        with half_constants() if precision == "float16" else nullcontext():
            graph = to_graph(model, description.size, channels=channels)
    else:
        graph = to_graph(
            fold_batch_norms(model), description.size, to_int8(calibration.pixels), channels=channels
        )
    if precision != "float32":
        graph = with_half_weights(graph)
    helper.set_model_props(graph, {KEY: text})
    onnx.checker.check_model(graph)
    onnx.save(graph, path.with_suffix(".onnx"))
    if to == "openvino":
        import openvino

        converted = openvino.convert_model(path.with_suffix(".onnx"))
        path.with_suffix(".onnx").unlink()
        converted.set_rt_info(text, [KEY])
        openvino.save_model(converted, path, compress_to_fp16=precision != "float32")


def _opened(path: Path, target: Target) -> Logits:
    if target != "torch":
        return load(path).runtime.logits
    program = torch.export.load(path).module()

    def logits(images: Any) -> Any:
        with torch.inference_mode():
            batch = torch.from_numpy(images).permute(0, 3, 1, 2).float()
            return program(batch).numpy()

    return logits


def judge(parity: Parity, precision: Precision, max_loss: float) -> tuple[dict[str, float], str]:
    """Return what the file is measured by, with its limit, and why it failed, "" where it passed."""
    if precision != "int8":
        failure = f"only {parity.equal_pixels:.4%} of the pixels are equal, {EQUAL_PIXELS:.1%} must be"
        return {"equal_pixels": EQUAL_PIXELS}, failure if parity.equal_pixels < EQUAL_PIXELS else ""
    if parity.has_truth:
        lost = 100 * parity.mean_iou_lost
        failure = f"{lost:.2f} points of mean IoU are lost, at most {max_loss:g} may be"
        return {"points_of_mean_iou": max_loss}, failure if lost > max_loss else ""
    agreement = 1.0 if parity.mean_iou_file is None else parity.mean_iou_file
    failure = (
        f"its masks and the model's have a mean IoU of {agreement:.3f}, at least {AGREEMENT:g} it must be; "
        "calibrate on images like those that it will get (--calibrate)"
    )
    return {"mean_iou_with_the_models_masks": AGREEMENT}, failure if agreement < AGREEMENT else ""


def compare(model: Logits, file: Logits, images: Pictures, classes: ClassTable) -> Parity:
    """Run both on the images and count where they differ.

    Args:
        model: the model in PyTorch.
        file: the exported one.
        images: at least one.
        classes: of the masks.
    """
    counters = {name: ScoreCounter(classes, torch.device("cpu")) for name in ("model", "file")}
    differ, largest = 0, 0.0
    for first in range(0, len(images.pixels), _BATCH):
        some = slice(first, first + _BATCH)
        ours, theirs = model(images.pixels[some]), file(images.pixels[some])
        largest = max(largest, float(np.abs(ours - theirs).max()))
        chosen = ours.argmax(1)
        differ += int((chosen != theirs.argmax(1)).sum())
        masks = chosen.astype(np.uint8) if images.masks is None else images.masks[some]
        truth = torch.from_numpy(np.ascontiguousarray(masks))
        counters["model"].add(torch.from_numpy(ours), truth)
        counters["file"].add(torch.from_numpy(theirs), truth)
    scores = {name: counter.scores().mean_iou for name, counter in counters.items()}
    slow, quick = _latencies((model, file), images.pixels[:1])
    return Parity(
        images=images.what,
        count=len(images.pixels),
        largest_logit_difference=largest,
        equal_pixels=1 - differ / images.pixels[..., 0].size,
        mean_iou_model=None if images.masks is None else scores["model"],
        mean_iou_file=scores["file"],
        latency_ms_model=slow,
        latency_ms_file=quick,
    )


def _latencies(sides: Sequence[Logits], image: Pixels) -> list[float]:
    """Return the median milliseconds of each, taken in turns."""
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(_TIMED):
        for side, seconds in zip(sides, times, strict=True):
            start = time.perf_counter()
            side(image)
            seconds.append(time.perf_counter() - start)
    return [round(statistics.median(each) * 1e3, 3) for each in times]
