"""Datasets, the cache they are read through and the augmentation of batches."""
