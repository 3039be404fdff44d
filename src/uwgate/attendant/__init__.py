"""Commands at certain times and programs beside the application (docs/architecture.md)."""
