"""Optical (OIS) and electronic (EIS) image stabilisation."""
