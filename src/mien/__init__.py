"""mien: facial-expression recognition from labelled faces to one ONNX file."""

__version__ = "0.1.0"
