"""Models for browsers: the model file of web/FORMAT.md, a page around it, and the proof that it is equal."""
