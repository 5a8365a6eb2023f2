"""Where a pixel of the wide view lies in the ultra-wide one, and how the two views blur and colour it."""
