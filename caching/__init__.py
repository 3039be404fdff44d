"""Caches that all processes of an instance share."""
