"""Train ScaleNAS supernets: ``python -m training run RECIPE [key=value ...]`` from a checkout."""
