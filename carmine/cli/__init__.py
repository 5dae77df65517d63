"""The `carmine` command: `python -m carmine demo` and `python -m carmine doctor`.

It uses carmine as its users do, by the public names, and is loaded by nothing but the command itself.
"""
