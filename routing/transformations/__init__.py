"""Transformations of response bodies: bytes in, bytes out."""
