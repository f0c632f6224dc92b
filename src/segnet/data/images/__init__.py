"""Image files: what they store, and their pixels; without torch."""
