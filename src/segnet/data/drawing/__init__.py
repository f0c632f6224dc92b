"""What draws the pictures of the `synthetic` dataset: a canvas, coats of fur, pets and rooms."""
