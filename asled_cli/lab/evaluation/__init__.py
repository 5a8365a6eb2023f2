"""Networks x clips -> scores: the work behind `asled eval`."""
