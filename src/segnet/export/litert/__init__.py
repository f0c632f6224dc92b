"""``segnet export --to litert``: a ``.tflite`` file for LiteRT, which was TensorFlow Lite."""
