"""What a model is made of, costs, sees and finds, measured on the live module."""
