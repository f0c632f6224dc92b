"""Models without weights, where only their structure is looked at."""

import torch

from segnet import create_model


def meta(name, **options):
    with torch.device("meta"):
        return create_model(name, **options)
