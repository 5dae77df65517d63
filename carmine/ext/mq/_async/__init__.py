"""The queue's shells: the source of both worlds."""
