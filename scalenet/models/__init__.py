"""The model zoo: names, weights, metadata, and how they are read and written."""
