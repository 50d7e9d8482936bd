"""What is published for others: documents with a schema of their own."""
