"""The asyncio shells of the locks, from which those of the blocking world are generated."""
