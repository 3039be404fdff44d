"""File formats: text in, pairs out, one file per format."""
