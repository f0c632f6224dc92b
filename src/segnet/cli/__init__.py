"""The ``segnet`` command: each subcommand is one function whose signature is its options."""

from segnet.cli.launch import main as main
