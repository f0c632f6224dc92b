"""How good a model is: scores, whether a difference is chance, and on which data they may be taken."""
