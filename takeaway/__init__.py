"""The nets of the reports for use elsewhere: `python -m takeaway` writes reports/weights/, safetensors and ONNX with a model card."""
