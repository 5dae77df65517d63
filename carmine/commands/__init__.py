"""The commands: each defined once as a pure function, and the facades that are generated from those.

This room knows no connection and waits for nothing. Importing it imports none of its modules but the one that gives
the functions their docstrings.
"""

import sys

from carmine.commands._docs import CommandsPackage

sys.modules[__name__].__class__ = CommandsPackage
