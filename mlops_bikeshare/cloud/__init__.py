"""AWS's own machinery: who asks, what stands there, what it costs."""
