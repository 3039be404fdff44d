"""Regular expressions of rules: PCRE's syntax, with a bound on what a search costs."""
