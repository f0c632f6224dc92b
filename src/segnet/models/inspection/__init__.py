"""Layers, costs, receptive fields and activations, measured on the live model."""
