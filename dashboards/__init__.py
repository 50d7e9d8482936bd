"""The dashboard of operators and engineers; `readings` alone reads the workspace."""
