"""The articles' figures, each drawn from live code."""
