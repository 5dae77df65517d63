"""Sessions of web sites: a page that reads one, a page that changes one, beside the packages that people use."""
