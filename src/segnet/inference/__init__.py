"""Prediction: the segmenter and the one-file model it opens."""
