"""Web sites with sessions, one file for each package; all of them are called in the process, without a web server."""
