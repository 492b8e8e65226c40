"""Keras models of the published networks, built from their specs."""
