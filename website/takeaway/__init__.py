"""The nets of the reports for use elsewhere, in reports/weights/: safetensors and ONNX with a model card."""
