"""Faults for a week of production, and what is watched while they last."""
