"""``segnet export``: one file for a runtime, proven equal to its model before it gets its name."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

from torch import nn

from segnet.base.errors import SegnetError, did_you_mean, refuse
from segnet.base.extras import is_installed, require_package
from segnet.base.files import expand_home, replacing, write_text
from segnet.export.layers import BROWSERS, COREML, LITERT, network_of
from segnet.export.parity import CALIBRATE, Parity, Precision, compare, judge
from segnet.export.pictures import calibration_pictures, compared_pictures
from segnet.export.target_files import Job, Target, TargetFiles
from segnet.export.web.web_page import PAGE, require_page
from segnet.inference.description import Description
from segnet.inference.model_file import read_model
from segnet.inference.opening import find_model
from segnet.inference.runtimes.with_torch import TorchRuntime
from segnet.inference.segmenter import Segmenter
from segnet.models import require_image_size


@dataclass(frozen=True)
class _Kind:
    suffix: str
    precisions: Mapping[Precision, tuple[Precision, ...]]
    """Precisions that are tried in turn until a file is equal enough, by the precision asked for."""
    needs: tuple[str, ...] = ()
    calibrates: bool = True
    """Whether its int8 is measured on images; else only weights are stored in 8 bits."""
    one_size: bool = False
    """Whether its files are for images of one size alone."""


_Tried = dict[Precision, tuple[Precision, ...]]
_AS_ASKED: _Tried = {"float32": ("float32",), "float16": ("float16",), "int8": ("int8",)}
_HALF: _Tried = {"float32": ("float16", "float32"), "float16": ("float16",)}
_FOR_WEB: _Tried = _HALF | {"int8": ("int8",)}
_KINDS: dict[Target, _Kind] = {
    "onnx": _Kind(".onnx", _AS_ASKED, ("onnx", "onnxruntime")),
    "openvino": _Kind(".xml", _AS_ASKED, ("onnx", "openvino")),
    "litert": _Kind(".tflite", _AS_ASKED, ("ai_edge_litert",), one_size=True),
    "coreml": _Kind(".mlpackage", _HALF, ("coremltools",), one_size=True),
    "torch": _Kind(".pt2", {"float32": ("float32",)}, ("onnx",)),
    "web": _Kind(".segnet", _FOR_WEB, calibrates=False),
    "html": _Kind(".html", _FOR_WEB, calibrates=False),
}
_MARKS: dict[Precision, str] = {"float32": "", "float16": ".fp16", "int8": ".int8"}
_VERSIONS = (
    "segnet",
    "torch",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "openvino",
    "ai_edge_litert",
    "coremltools",
)
_RUNNERS = {"litert": LITERT, "coreml": COREML, "web": BROWSERS, "html": BROWSERS}
_WITHOUT_INT8 = "leave --int8 out: float16 weights are twice as large and all but exact"


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
    remarks: tuple[str, ...]
    """What else there is to know of it, in sentences."""
    said: Mapping[str, Any]
    """What the report says, as plain values."""


def export(
    source: str | Path,
    *,
    to: Target = "onnx",
    precision: Precision = "float32",
    fixed_size: bool = False,
    size: tuple[int, int] | None = None,
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
        precision: in which the weights are kept, or of int8 the larger convolutions computed. Files for
            browsers keep float16 in place of float32 where that is equal enough, and weights alone in int8.
        fixed_size: onnx: for one image of one size at a time, with no arithmetic on sizes in the graph, as
            compilers for devices and OpenCV before 5.1 want it.
        size: ``(H, W)`` in place of the model's own, for files of one size; what segnet predicts with the
            file is resized to it.
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
    _check(to, precision, fixed_size, size, out, calibrate, max_loss)
    kind, data = _KINDS[to], data or {}
    path = find_model(source, exported=False)
    if path.suffix in [each.suffix for each in _KINDS.values()]:
        raise SegnetError(
            f"{path} is exported already; export the run folder or .safetensors file it came from"
        )
    opened, description = _read_for_size(path, model, size)
    segmenter = Segmenter(TorchRuntime(opened), description)
    # before images are read, as it refuses what has no layers there
    network = network_of(opened, description, _RUNNERS[to]) if to in _RUNNERS else None
    fixed_to = description.size if fixed_size else None
    target = _target(source, to, precision, fixed_to) if out is None else expand_home(out)
    compared = compared_pictures(source, segmenter, images, data, instead=calibrate)
    needs_images = precision == "int8" and kind.calibrates
    calibration = calibration_pictures(source, segmenter, calibrate, data) if needs_images else None
    files = _files_of(to)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / target.name
        for stored in kind.precisions[precision]:
            files.write(Job(to, segmenter, network, stored, fixed_size, calibration), draft)
            with files.opened(draft) as (logits, run_by):
                parity = compare(segmenter.runtime.logits, logits, compared, segmenter.classes)
            remedy = CALIBRATE if kind.calibrates else _WITHOUT_INT8
            limits, failure = judge(parity, stored, max_loss, remedy)
            if not failure:
                break
        if failure:
            target = target.with_name(f"{target.stem}.failed{target.suffix}")
        size_bytes = _move(draft, target, alone=bool(failure))
    remarks = files.remarks_on(target, size_bytes, stored, run_by)
    said = {
        "source": str(source),
        "file": target.name,
        "to": to,
        "precision": stored,
        "fixed_size": description.size if kind.one_size else fixed_to,
        "passed": not failure,
        "failure": failure,
        "limits": limits,
        "bytes": size_bytes,
        "run_by": run_by,
        **asdict(parity),
        "remarks": remarks,
        "versions": {name: version(name) for name in _VERSIONS if is_installed(name)},
    }
    report = target.with_name(f"{target.name}.parity.json")
    write_text(report, json.dumps(said, indent=1) + "\n")
    return Exported(target, report, parity, size_bytes, failure, remarks, said)


def _read_for_size(
    path: Path, model: nn.Module | None, size: tuple[int, int] | None
) -> tuple[nn.Module, Description]:
    opened, description = read_model(path, model)
    if size is None or size == description.size:
        return opened, description
    if description.patch_scale is not None:
        raise SegnetError(
            f"{path} takes patches of {description.size[0]}x{description.size[1]}; leave --size out"
        )
    require_image_size(description.model, opened, size)
    return opened, replace(description, size=size)


def _check(
    to: Target,
    precision: Precision,
    fixed_size: bool,
    size: tuple[int, int] | None,
    out: Path | None,
    calibrate: str | None,
    max_loss: float,
) -> None:
    precisions, named = get_args(Precision), out or Path()
    kind = _KINDS.get(to, _KINDS["onnx"])
    suffix = kind.suffix
    is_misnamed = out is not None and out.suffix != suffix
    refuse(
        (to not in _KINDS, f"there is no target {to!r}{did_you_mean(to, _KINDS)}"),
        (
            precision not in precisions,
            f"there is no precision {precision!r}{did_you_mean(precision, precisions)}",
        ),
        (
            precision not in kind.precisions,
            f"--to {to} keeps {' and '.join(kind.precisions)} alone; take --to onnx for {precision}",
        ),
        (fixed_size and to != "onnx", f"--fixed-size is for --to onnx; leave it out for {to}"),
        (
            size is not None and not (fixed_size or kind.one_size),
            "--size is for files of one size: --to litert, --to coreml, or --to onnx with --fixed-size",
        ),
        (
            max_loss < 0,
            f"--max-loss is points of mean IoU, at least 0, got {max_loss}",
        ),
        (
            calibrate is not None and not kind.calibrates,
            f"--calibrate is for --int8 of onnx and openvino; --to {to} needs no images to store weights in "
            "8 bits, so leave it out",
        ),
        (calibrate is not None and precision != "int8", "--calibrate is for --int8"),
        (
            is_misnamed and named.is_dir(),
            f"--out {out} is a folder; name a file, such as {named / 'model'}{suffix}",
        ),
        (is_misnamed, f"--out {out}: a file for {to} ends in {suffix}"),
    )
    if to == "html":
        require_page(PAGE, "--to html")
    quantised_by = ["onnxruntime"] if precision == "int8" and "onnx" in kind.needs else []
    for package in (*kind.needs, *quantised_by):
        require_package("segnet export", package)


def _target(source: str | Path, to: Target, precision: Precision, fixed_to: tuple[int, int] | None) -> Path:
    path, kind = expand_home(source), _KINDS[to]
    is_default = kind.precisions[precision][0] == kind.precisions["float32"][0]
    size = "" if fixed_to is None else f".{fixed_to[0]}x{fixed_to[1]}"
    ending = f"{size}{'' if is_default else _MARKS[precision]}{kind.suffix}"
    if path.is_dir():
        return path / f"model{ending}"
    return path.with_name(path.stem + ending) if path.exists() else Path(f"{source}{ending}")


def _files_of(to: Target) -> TargetFiles:
    """Return the module of a target; it is imported here, with what it needs."""
    if to == "web" or to == "html":
        from segnet.export.web import web_target

        return web_target
    if to == "litert":
        from segnet.export.litert import litert_target

        return litert_target
    if to == "coreml":
        from segnet.export.coreml import coreml_target

        return coreml_target
    from segnet.export import graph_files

    return graph_files


def _move(draft: Path, target: Path, *, alone: bool) -> int:
    """Move what was written to its place and return its size; with ``alone`` not what only goes with it."""
    size = 0
    for part in sorted(draft.parent.iterdir(), key=lambda each: each.suffix == ".xml"):
        is_own = part.stem == draft.stem
        if part.is_dir():
            size += _move_folder(part, target)
            continue
        content = part.read_bytes()
        if alone and not is_own:
            continue
        size += len(content) if is_own else 0
        place = target.with_suffix(part.suffix) if is_own else target.with_name(part.name)
        with replacing(place) as temporary:
            temporary.write_bytes(content)
    return size


def _move_folder(part: Path, place: Path) -> int:
    """Put a folder in the place of one of before, and return the size of its files."""
    size = sum(each.stat().st_size for each in part.rglob("*") if each.is_file())
    with tempfile.TemporaryDirectory(dir=place.parent) as beside:  # on the same disk, so that it is renamed
        whole = shutil.copytree(part, Path(beside) / place.name)
        if place.is_dir():
            shutil.rmtree(place)
        whole.replace(place)
    return size
