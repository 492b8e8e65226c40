"""A model written for another runtime, run there and compared."""
