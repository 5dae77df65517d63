"""What stands on the client: locks, the queue, sessions, Tundra; one folder each, which only its own users load.

Nothing is imported here: `import carmine.ext.locks` brings locks and nothing else. A layer uses the client as anybody
does; layers do not know each other, but that Tundra may use the queue.
"""
