"""What a run leaves in its folder and shows while it goes on."""
