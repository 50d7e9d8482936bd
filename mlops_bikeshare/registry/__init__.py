"""Versions: what they consist of, how they are registered and found, how they score."""
