"""Routing rules and static files in the workers that clients reach directly."""
