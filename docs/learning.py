r"""Write the training that explainer pages show whose model has no run: segnet-nano on drawn pets.

    segnet train --data synthetic --model segnet-nano --recipe modern --epochs 20 --crop-scale 1 \
        --no-progressive --out runs/demo
    python docs/learning.py runs/demo

Losses, scores and masks of ten of its epochs go to src/segnet/export/web/learning.json.
"""

import json
import sys

from segnet.export.web.learning_data import DEMO, learning_of

SAID = (
    "This run: segnet-nano, 600 drawn pets at 128×128, 20 epochs of the modern recipe in four minutes on one "
    "thread. It isn’t the network of the other views."
)

if __name__ == "__main__":
    DEMO.write_text(json.dumps(learning_of(sys.argv[1], SAID), ensure_ascii=False, indent=1) + "\n", "utf-8")
