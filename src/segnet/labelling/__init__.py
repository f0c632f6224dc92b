"""The label loop: which images are worth a mask next, what comes back of them, and what it brought."""
