"""Encoders that several models share, and their pretrained weights."""
