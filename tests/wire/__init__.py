"""A host written by hand, to drive the installed program from outside: shares no code with what it tests."""
