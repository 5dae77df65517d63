"""Locks: one module each, with a `Rival` that takes turns, holds, and waits. Each imports its peer at the top."""
