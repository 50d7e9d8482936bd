"""Flows as jobs that a scheduler starts, one event at a time."""
