"""The City Map, and how it is started; `readings` alone reads the workspace."""
