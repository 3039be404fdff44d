"""TLS of the gateways: certificates, their contexts, and who may read the keys."""
