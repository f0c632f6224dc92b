"""Training: the configuration, the loop and what a run leaves behind."""
