"""Tundra: only hot data needs to fit in memory; the rest is archived in a datastore and comes back when asked for."""
