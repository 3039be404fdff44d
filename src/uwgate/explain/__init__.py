"""``uwgate explain``: what the rules of a configuration do to a request, and why."""
