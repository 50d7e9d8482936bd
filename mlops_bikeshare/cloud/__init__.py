"""An account of AWS: its stacks, the rights of its roles, what it costs."""
