"""uwgate: the front door of a fleet of web applications."""

__version__ = "0.1.0"
