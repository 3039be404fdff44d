"""Experts: threads, files and servers."""
