"""Search a trained supernet: ``python -m search {run RECIPE | deploy | report | rank}`` from a checkout."""
