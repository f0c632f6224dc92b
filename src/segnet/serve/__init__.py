"""A server that stays up: ``segnet serve`` answers HTTP requests with masks (extra ``serve``)."""
