"""What differs between the two worlds for Tundra, one file each; the counterpart of `carmine/_bridge` for this layer.

Both files have the same names with the same meaning: those of the bridge, the shelf (calls of the datastore), and work
done side by side.
"""
