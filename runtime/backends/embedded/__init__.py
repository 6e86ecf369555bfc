"""The embedded document server as a child process: start, login, lock, log."""
