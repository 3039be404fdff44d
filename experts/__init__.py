"""Experts: they answer what rules ask by a library or files, each within a time limit."""
