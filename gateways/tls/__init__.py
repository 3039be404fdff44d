"""TLS in the gateways: connections, certificates, names."""
