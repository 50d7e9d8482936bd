"""Predict bike and dock stockouts per station, and keep the model that does so healthy."""

__version__ = "0.1.0"
