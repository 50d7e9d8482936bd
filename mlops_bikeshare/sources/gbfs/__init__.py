"""GBFS feeds of any version, 1.0 to 3.1-RC3: discovery, documents, rows, and the way to them."""
