"""Images larger than memory, block by block; an interrupted run can be resumed."""
