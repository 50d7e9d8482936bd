"""Endpoints: deploying to them, asking them, verifying them; the local host that serves them."""
