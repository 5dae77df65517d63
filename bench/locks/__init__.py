"""The lock beside its peers: what an uncontended turn takes, how soon it is handed over, what waiting costs the server.

Each lock's holder and waiter are processes of their own; the server counts the commands. Nothing here knows how a lock
works: a rival (`bench/rivals/locks`) acquires, releases, and waits.
"""
