"""``export``: a model as a file for another runtime."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

from segnet.base.errors import SegnetError
from segnet.cli.app import (
    SOME_FAILED,
    Flag,
    Json,
    OptionalBorder,
    OptionalPath,
    OptionalText,
    app,
    given,
    print_all,
    say_error,
)
from segnet.training.configuration.option_types import SizeOption

if TYPE_CHECKING:
    from segnet.export.exporter import Exported
    from segnet.export.parity import Precision


@app.command
def export(
    model: str,
    /,
    *,
    to: Literal["onnx", "openvino", "litert", "coreml", "torch", "web", "html"] = "onnx",
    fp16: Flag = False,
    int8: Flag = False,
    fixed_size: Flag = False,
    size: SizeOption | None = None,
    out: OptionalPath = None,
    images: OptionalText = None,
    calibrate: OptionalText = None,
    max_loss: float = 1.0,
    data: OptionalText = None,
    data_root: OptionalPath = None,
    extra_list: OptionalText = None,
    border: OptionalBorder = None,
    json_: Json = False,
) -> int:
    """Write a model as one file for another runtime, and prove that it still says the same.

    The file takes images of any size and holds all that prediction needs: scaling, classes, colours, size. It
    is compared with the model on the images that the model was validated on; the comparison is printed and
    written beside it. Where they differ too much, the file gets the name NAME.failed and the exit code is 1.

    Args:
        model: a run folder, a .safetensors file or a bundled name.
        to: onnx for ONNX Runtime and most other runtimes; openvino; litert, a .tflite file for phones and
            MediaPipe, and coreml, an .mlpackage for Apple's devices, both for images of the model's size;
            torch, its exported program; html, one HTML file that segments photos in a browser, offline; or
            web, a model file for a page of your own, with the engine beside it.
        fp16: keep weights as float16: half the size, the same speed. web, html and coreml do so by
            themselves where that is equal enough.
        int8: compute the larger convolutions in int8, calibrated on training images: a third of the size. web
            and html keep weights alone in 8 bits, which needs no images: half the size.
        fixed_size: onnx: for one image of one size at a time, with no arithmetic on sizes: what compilers for
            devices and older OpenCV take.
        size: litert, coreml, and onnx with --fixed-size: pixels of the images, one number or HEIGHTxWIDTH; by
            default as the model was trained.
        out: the file to write; by default beside the model, or in this folder for a bundled one.
        images: compare on these photos, a folder or a pattern, in place of the model's validation images.
        calibrate: int8 of onnx and openvino: photos to calibrate on, in place of the model's training images.
        max_loss: int8: how many points of mean IoU may be lost, where the model's own data is there.
        data: where the model's own data is, if it has moved.
        data_root: the same for oxford-pets: a folder in the official layout.
        extra_list: oxford-pets: the list of extra training images, if the model was trained with one.
        border: oxford-pets: class, pet or ignore; by default as the model was trained.
        json_: print one JSON object in place of the table.
    """
    from segnet.export.exporter import export as write

    if fp16 and int8:
        raise SegnetError("--fp16 and --int8 are two precisions; take one")
    precision: Precision = "float16" if fp16 else "int8" if int8 else "float32"
    if not json_:
        print(f"exporting {model}, and comparing the file with it", flush=True)
    exported = write(
        model,
        to=to,
        precision=precision,
        fixed_size=fixed_size,
        size=size,
        out=out,
        images=images,
        calibrate=calibrate,
        max_loss=max_loss,
        data=given(data=data, data_root=data_root, extra_list=extra_list, border=border),
    )
    if json_:
        print(json.dumps(exported.said))
    else:
        _print_comparison(exported, int8=int8)
    if exported.failure:
        say_error(f"{exported.path} is not what {model} is: {exported.failure}")
        return SOME_FAILED
    return 0


def _print_comparison(exported: Exported, *, int8: bool) -> None:
    from segnet.runs.scores import score_text

    parity = exported.parity
    of_model, of_file = (score_text(each, digits=4) for each in (parity.mean_iou_model, parity.mean_iou_file))
    with_masks = {"mean IoU with the model's own masks": of_file}
    rows = {
        "equal pixels": f"{parity.equal_pixels:.4%}",
        "largest difference of a logit": f"{parity.largest_logit_difference:.3g}",
        **({"mean IoU, model and file": f"{of_model}  {of_file}"} if parity.has_truth else with_masks),
        "one image, model and file": f"{parity.latency_ms_model:.1f} ms  {parity.latency_ms_file:.1f} ms",
    }
    cost = "  what that costs of the score only the model's own data can tell (--data, --data-root)"
    print_all(
        f"{exported.path}  {exported.size_bytes / 1e6:.2f} MB",
        f"compared with the model on {parity.images}:",
        *(f"  {what:36}{value}" for what, value in rows.items()),
        *([cost] if int8 and not parity.has_truth else []),
        *exported.remarks,
        f"report {exported.report}",
    )
