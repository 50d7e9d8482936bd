"""How a long process behaves: it logs, shows progress, keeps pace, stops cleanly."""
