"""The version of carmine, stated once.

``pyproject.toml`` reads it as text (setuptools' ``attr:``), so this file imports nothing and holds one literal.
"""

__version__ = "0.1.0.dev0"
