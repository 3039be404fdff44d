"""What listens and forwards."""
