"""Run by MediaPipe's own Python: what its ImageSegmenter makes of a folder of PNG files with a model file.

The out folder gets a mask with the classes' numbers for each, the probabilities as .npy, and the labels.
"""

import sys
from pathlib import Path

import mediapipe
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision

model, images, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
options = vision.ImageSegmenterOptions(
    base_options=BaseOptions(model_asset_path=model), output_category_mask=True, output_confidence_masks=True
)
out.mkdir()
with vision.ImageSegmenter.create_from_options(options) as segmenter:
    for path in sorted(images.glob("*.png")):
        found = segmenter.segment(mediapipe.Image.create_from_file(str(path)))
        np.save(out / f"{path.stem}.mask.npy", np.squeeze(found.category_mask.numpy_view()))
        each = [np.squeeze(mask.numpy_view()) for mask in found.confidence_masks]
        np.save(out / f"{path.stem}.probabilities.npy", np.stack(each))
    (out / "labels.txt").write_text("\n".join(segmenter.labels))
