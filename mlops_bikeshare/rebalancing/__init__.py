"""Rebalancing: which bikes to move where, from calibrated trajectories; pure arrays, no I/O."""
