"""The local stack: servers, application processes and the checks of this checkout.

Standard library only: `python3 dev/stack.py` has to work on a machine where nothing is installed yet.
"""
