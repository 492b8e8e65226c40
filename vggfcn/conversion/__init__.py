"""Networks made from networks, and the proof that they are the same."""
