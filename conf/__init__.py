"""Every option, declared once; loading and checking of configuration files."""
