"""The store, written once in async form; the blocking twin is generated beside it."""
