"""``python -m segnet`` is the ``segnet`` command."""

from segnet.cli import main

main()
