"""The command line: the parser, the options, and messages at the terminal."""
