"""Damaged and hostile files for the scripts to read, and what they make of them.

core       what a case is, and damage that any bytes can suffer
base       the whole files that are damaged, made by tiny runs
hostile    values that no configuration and no training state should hold
forging    how checkpoints are changed, and files made that only look like one
kinds      pictures, tables, configs, archives, exports, states: the kinds of files
runner     runs a case and judges how it ended

Each kind is a module of four dictionaries of recipes, from name to what makes one file:

RIGHT      whole files, which have to be accepted: without them a script that refuses all would pass
WRONG      files that have no right reading and have to be refused
EITHER     odd files that may be refused or accepted
VARIED     random ones, of which any number can be made; they may be refused or accepted

and of `case`, which says what reads such a file.
"""
