"""What a restored frame or clip is worth: against the truth, over time, and without a truth."""
