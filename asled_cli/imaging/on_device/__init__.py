"""The picture operations of a GPU, by torch: as those of OpenCV in `imaging`, on any device of torch."""
