"""The network of every architecture, its heads, and its folded form for inference."""
