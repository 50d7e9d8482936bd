"""Where data comes from: recordings and the simulator, behind one Protocol."""
