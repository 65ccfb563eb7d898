"""Heatmaps to people, free of networks: codec, grouping, OKS."""
