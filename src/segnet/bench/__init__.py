"""Measurements of this machine, ours beside stock PyTorch in one run: what ``segnet bench`` prints."""
