"""Images and masks decoded once and kept on the disk; batches and patches of them."""
