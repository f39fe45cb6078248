"""The stream of a user's events (server-sent events): the process `stream`.

Triggers note every change of what it shows (`StreamNote`). `journal` gives the notes their positions, `documents` shows
what changed, `reader` does both in one thread, `hub` hands it to the open streams, and `asgi` is the server's side.
"""
