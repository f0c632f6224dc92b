"""``segnet export --to coreml``: an ``.mlpackage`` for Apple's devices."""
