"""A network over images: score maps, localization, errors, speed, and the demo."""
