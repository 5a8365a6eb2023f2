"""Workers: processes of this machine or of a Ray cluster; what runs in a killed one is done again."""
