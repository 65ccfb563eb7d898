"""Metrics of networks over data sets, in the folders that these ship in, by the protocols in use."""
