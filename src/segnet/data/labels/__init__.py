"""Labels as annotation tools and datasets have them, each format in a file of its own."""
