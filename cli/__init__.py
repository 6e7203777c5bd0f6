"""The command line: the parser, the options, what a person at a terminal gets."""
