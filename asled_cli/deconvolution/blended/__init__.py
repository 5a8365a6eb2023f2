"""Clips whose frames are means of video frames: inversion in time, without a motion that must be exact."""
