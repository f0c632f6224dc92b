"""Prediction on many machines, or many processes of one, by Ray Data."""
