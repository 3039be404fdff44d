"""The processes that run an application."""
