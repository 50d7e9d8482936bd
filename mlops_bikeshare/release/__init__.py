"""What decides: gate, plans of promotion and rollback, audit. All pure."""
