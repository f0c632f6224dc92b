"""The settings of a run: typed, with recipes, ranges and what fits to the data."""
