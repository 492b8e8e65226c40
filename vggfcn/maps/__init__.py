"""Score maps: where their cells lie on the image, and how they are drawn and written. NumPy and Pillow only."""
