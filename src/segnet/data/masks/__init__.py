"""What the values of mask files mean."""
