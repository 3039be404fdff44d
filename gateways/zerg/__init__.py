"""Listening sockets from one instance to another."""
