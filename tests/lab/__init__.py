"""The laboratory: real servers, a fault proxy, a scripted server, certificates and leak checks, for every test.

Nothing here uses carmine's own protocol or transport: a tool that measures a client must not share its bugs.
See README.md beside this file.
"""
