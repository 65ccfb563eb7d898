"""How a network is run: PyTorch, torch.compile, ONNX Runtime, OpenVINO or the fastest here; families for any budget."""
