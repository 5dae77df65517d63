"""The commands: each defined once as a pure function, and the facades that are generated from those.

This room knows no connection and waits for nothing. Importing it imports none of its modules.
"""
