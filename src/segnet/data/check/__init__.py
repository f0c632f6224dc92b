"""What is wrong with a folder of images and masks, and copies in which it is mended."""
