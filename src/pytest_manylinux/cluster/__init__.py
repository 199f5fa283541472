"""Trials on other machines, done by a Dask cluster's workers: imported only when asked for."""
