"""What makes a SegNet: pooling and its kernels, recomputed maps, blocks, dropout."""
