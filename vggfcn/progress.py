"""The callbacks that report the progress of long tasks."""

from collections.abc import Callable

# Called with the amount done and the total.
Progress = Callable[[int, int], None]
# Called with a description of the current step.
Status = Callable[[str], None]
