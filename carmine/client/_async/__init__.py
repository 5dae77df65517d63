"""The asyncio shells: source of the blocking ones beside them."""
