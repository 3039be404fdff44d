"""Files that are served: which one, and how it is answered for. No socket, no clock."""
