"""Clients: shells over the transport, in two worlds.

What waits is written once in `_async` and generated for `_sync`; `engine` and `async_engine` are the hand-written pair
below them; `core` is what both share and needs no waiting.
"""

import sys

from carmine.commands._docs import ClientPackage

sys.modules[__name__].__class__ = ClientPackage
