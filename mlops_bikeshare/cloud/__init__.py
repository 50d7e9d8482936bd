"""An account of AWS: who asks, its stacks, the rights of its roles, what it costs."""
