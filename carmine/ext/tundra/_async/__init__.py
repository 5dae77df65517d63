"""Tundra for asyncio: the source, from which the blocking world is made."""
