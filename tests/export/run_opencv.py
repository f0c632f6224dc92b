"""Run by OpenCV's own Python: what its dnn makes of each graph in a folder, beside PyTorch's logits."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np

found = {"version": cv2.__version__}
for path in sorted(Path(sys.argv[1]).glob("*.onnx")):
    known = np.load(path.with_suffix(".npz"))
    net = cv2.dnn.readNetFromONNX(str(path))
    net.setInput(known["image"])
    logits, expected = net.forward(), known["logits"]
    equal = (logits.argmax(1) == expected.argmax(1)).mean()
    # of all logits but one in a thousand: where two values of a pool's window are equal but for rounding,
    # another one may win
    difference = np.quantile(abs(logits - expected), 0.999) / abs(expected).max()
    found[path.stem] = [float(equal), float(difference)]
print(json.dumps(found))
