"""HTTP/2 between clients and the HTTP gateway (RFC 9113)."""
