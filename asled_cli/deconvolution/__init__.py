"""Multi-frame inversion: a sharp frame from several frames whose motion blur is known."""
