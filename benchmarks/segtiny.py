"""SegTiny: how well pets are segmented by .tflite files of 64, 128 and 256 kB, scored in LiteRT.

    python benchmarks/segtiny.py DATA_ROOT MODEL.tflite [MODEL.tflite ...]

Prints for each file its bytes, the bytes of its maps that are alive at once, and the mean IoU on the test
split of oxford-pets (DATA_ROOT, in the official layout), 128x128, border as a class. Any .tflite file may
take part that takes float32 (1, 128, 128, 3) of 0 to 255 and gives logits (1, 128, 128, 3) of pet, background
and border. docs/how-to/litert.md has the table, and how our files were trained.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from segnet import DataOptions, load_dataset
from segnet.data.store.fit_to_size import Fit
from segnet.data.store.open_split import open_pixels

SIZE = (128, 128)
LIMITS = (65_536, 131_072, 262_144)
_BYTES = {schema.TensorType.FLOAT32: 4, schema.TensorType.INT32: 4, schema.TensorType.FLOAT16: 2}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_root", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    options = parser.parse_args()
    dataset = load_dataset(DataOptions(data="oxford-pets", data_root=options.data_root, border="class"))
    pixels = open_pixels(dataset.splits["val"], dataset.classes, Fit(SIZE, "area"), data=dataset.name)
    shown = pixels.examples(len(dataset.splits["val"]))
    images, masks = np.asarray(shown.images), np.asarray(shown.masks)
    print(f"{len(images)} images; bytes, within, bytes of maps at once, mean IoU")
    for path in options.models:
        content = path.read_bytes()
        within = next((f"{limit // 1024} kB" for limit in LIMITS if len(content) <= limit), "none")
        iou = mean_iou(content, images, masks)
        print(f"{path.name}: {len(content):,}, {within}, {live_bytes(content):,}, {iou:.4f}")


def mean_iou(content: bytes, images: np.ndarray, masks: np.ndarray) -> float:
    """Return the mean IoU of three classes over all pixels."""
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    image, logits = (
        side()[0]["index"] for side in (interpreter.get_input_details, interpreter.get_output_details)
    )
    counts = np.zeros((3, 3), np.int64)
    for each, truth in zip(images, masks, strict=True):
        interpreter.set_tensor(image, each[None].astype(np.float32))
        interpreter.invoke()
        found = interpreter.get_tensor(logits)[0].argmax(-1)
        known = truth < 3
        counts += np.bincount(truth[known].astype(int) * 3 + found[known], minlength=9).reshape(3, 3)
    hits = counts.diagonal()
    return float((hits / (counts.sum(0) + counts.sum(1) - hits)).mean())


def live_bytes(content: bytes) -> int:
    """Return the most bytes of maps that are alive at one operation: what an arena needs at least."""
    graph = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0)).subgraphs[0]
    last = {number: step for step, node in enumerate(graph.operators) for number in node.inputs}
    last |= dict.fromkeys(graph.outputs, len(graph.operators))
    alive, most = set(graph.inputs), 0

    def size(number: int) -> int:
        tensor = graph.tensors[number]
        return 0 if tensor.buffer else int(np.prod(tensor.shape)) * _BYTES.get(tensor.type, 1)

    for step, node in enumerate(graph.operators):
        alive |= {*node.outputs}
        most = max(most, sum(map(size, alive)))
        alive = {number for number in alive if last.get(number, -1) > step}
    return most


if __name__ == "__main__":
    main()
