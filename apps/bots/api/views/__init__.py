"""Views of bots: each validates the request, calls one service or selector, and serializes the response."""
