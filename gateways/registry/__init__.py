"""The registry: one process that knows all nodes of an instance."""
