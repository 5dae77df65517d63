"""What differs between the two worlds for locks, one file each; the counterpart of `carmine/_bridge` for this layer.

Both files have the same names with the same meaning: those of the bridge, and what keeps leases alive.
"""
