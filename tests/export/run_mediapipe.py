"""Run by MediaPipe's own Python: what its ImageSegmenter makes of images with a model file."""

import sys

import mediapipe
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision

model, images, out = sys.argv[1:]
options = vision.ImageSegmenterOptions(
    base_options=BaseOptions(model_asset_path=model),
    output_category_mask=True,
    output_confidence_masks=True,
)
masks, confidences = [], []
with vision.ImageSegmenter.create_from_options(options) as segmenter:
    for image in np.load(images):
        found = segmenter.segment(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image))
        masks.append(np.squeeze(found.category_mask.numpy_view()).copy())
        confidences.append([np.squeeze(each.numpy_view()).copy() for each in found.confidence_masks])
    labels = segmenter.labels
np.savez(out, masks=masks, confidences=confidences, labels=labels)
