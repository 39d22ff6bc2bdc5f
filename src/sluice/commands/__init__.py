"""One module per command or group of commands; cli.py puts them together."""
