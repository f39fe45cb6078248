"""The version of the platform, as in pyproject.toml."""

VERSION = "0.1.0"
