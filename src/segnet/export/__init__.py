"""Export: a trained model as one file for other runtimes, proven equal to the model it was made of."""
