"""What a run leaves: typed records, the names of its files, the identity of its data; nothing heavy."""
