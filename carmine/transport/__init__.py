"""The only rooms that open sockets: options, addresses, TLS, credentials, connections and the pool's bookkeeping.

They speak words and raw replies, and know neither commands nor clients. Nothing is imported here, so that each room
costs only those who use it; `tls` above all, which alone imports `ssl`, is loaded at the first TLS connection.
"""
