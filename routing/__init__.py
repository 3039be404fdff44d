"""Internal routing: rules that decide what happens to a request."""
