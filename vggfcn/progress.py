"""What whoever asks for long work may hand in, to be told how it goes."""

from collections.abc import Callable

# Called with how much is done, and how much there is to do.
Progress = Callable[[int, int], None]
# Called with what is being done now, in words.
Status = Callable[[str], None]
