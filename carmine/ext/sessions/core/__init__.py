"""What sessions decide, apart from any waiting: contents, lifetimes, what has changed, cookies. Pure rooms."""
