"""What differs between the two worlds for workers, one file each; the counterpart of `carmine/_bridge` for this layer.

Both files have the same names with the same meaning: those of the bridge, and the hands that run handlers.
"""
