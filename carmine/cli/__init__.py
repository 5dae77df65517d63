"""The command `carmine`, or `python -m carmine`: `demo`, `doctor` and `mq`.

It uses carmine as its users do, by the public names, and nothing but the command itself loads it.
"""
