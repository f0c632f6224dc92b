"""Floor 1: what everything rests on: pooling, blocks, class tables, errors."""
