"""The pixels of samples, read once: all at one size, or each at its own where patches are cut."""

from __future__ import annotations

from collections.abc import Sequence

from segnet.base.classes import ClassTable
from segnet.data.dataset import Progress, Sample
from segnet.data.store.cache import CachedSplit, open_cached
from segnet.data.store.fit_to_size import Fit
from segnet.data.store.full_size import FullSizeSplit, open_full_size

Split = CachedSplit | FullSizeSplit


def open_pixels(
    samples: Sequence[Sample],
    classes: ClassTable,
    fit: Fit,
    *,
    data: str = "",
    progress: Progress | None = None,
) -> Split:
    """Open samples as a network of this fit takes them; arguments and errors are those of ``open_cached``."""
    opener = open_cached if fit.patch_scale is None else open_full_size
    return opener(samples, classes, fit, data=data, progress=progress)
