"""Measure the two-bit pooling and the training memory beside stock PyTorch; write CSV and plot.

Usage::

    python benchmarks/pooling.py --csv pooling.csv --plot pooling.png

Takes the options of ``segnet bench pooling``, which is the same measurement.
"""

from __future__ import annotations

import subprocess
import sys

if __name__ == "__main__":
    sys.exit(subprocess.run([sys.executable, "-m", "segnet", "bench", "pooling", *sys.argv[1:]]).returncode)
