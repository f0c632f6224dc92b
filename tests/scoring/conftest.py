"""Scores are taken with the tiny model that predictions are made with."""

from ..inference.conftest import tiny_model  # noqa: F401 - a fixture
