"""Errors, files, progress, threads, classes and colours, devices; nothing of it knows a network."""
