"""Spatial video (MV-HEVC): bits, NAL units, parameter sets and boxes of two views in one track."""
