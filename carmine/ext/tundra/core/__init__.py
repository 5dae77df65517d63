"""What Tundra decides apart from any waiting: values, versions, failures, options. Pure."""
