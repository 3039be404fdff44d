"""The sslrouter: TLS in, bytes out (spec/gateways.md section 8)."""
