"""Flows on more than one process or machine, by Dask."""
