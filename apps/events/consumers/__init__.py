"""Consumers of events: who listens to what, and the one way in which an event reaches a handler.

An app's `consumers.py` declares its handlers with @consumes; the process that runs a group delivers to them.
"""
