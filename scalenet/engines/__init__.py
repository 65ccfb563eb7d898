"""How a network is run: PyTorch, torch.compile, ONNX Runtime, OpenVINO, or whichever is fastest on this machine."""
