"""The command line: ``main`` parses it, ``runner`` runs a program under the torch alias, ``tools`` look at files."""
