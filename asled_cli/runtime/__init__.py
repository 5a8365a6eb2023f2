"""What the machine gives: threads, processes, device, memory, signals and atomic files; knows no video."""
