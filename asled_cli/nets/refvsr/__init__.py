"""RefVSR: video restoration with a reference that is matched, propagated and fused by its confidence."""
