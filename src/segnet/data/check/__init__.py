"""Find what is wrong with a folder of images and masks, and write a repaired copy."""
