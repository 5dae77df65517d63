"""The few names that differ between the two worlds, one file each: aio for asyncio, threads for blocking code.

A source in an `_async` folder imports `aio`; tools/gen_sync.py writes `threads` in its place. Both files have the same
names with the same meaning; neither knows anything of carmine.
"""
