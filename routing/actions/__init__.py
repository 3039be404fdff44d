"""Actions of rules, by subject. Each module has a table ``ACTIONS``."""
