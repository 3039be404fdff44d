"""Static files from the HTTP gateway: finding them, and sending them."""
