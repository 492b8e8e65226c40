"""Images in: files and arrays, whole or part by part, and resizing."""
