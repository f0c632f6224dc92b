"""The processes of one run: which this one is, and what they tell each other."""
