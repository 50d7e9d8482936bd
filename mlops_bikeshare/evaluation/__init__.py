"""Arithmetic that stages share: scores, baseline, calibration, PSI, bootstrap. Pure NumPy."""
