"""asled: mend a motion-blurred wide clip with the ultra-wide clip of the same moment."""
