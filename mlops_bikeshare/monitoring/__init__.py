"""Metrics, quality from matured labels, drift, heartbeat."""
