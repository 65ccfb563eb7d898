"""Devices, threads and pipelines."""
