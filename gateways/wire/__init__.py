"""Wire formats: bytes in, values out. They know neither trio nor sockets."""
