"""The command line: arguments in, one call of the management API, words out."""
