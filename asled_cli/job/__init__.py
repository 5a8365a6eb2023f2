"""The parts of one deblur job that the pipeline strings together."""
