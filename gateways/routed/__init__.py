"""The routing rules at work in the HTTP gateway: requests through the chains, and what follows."""
