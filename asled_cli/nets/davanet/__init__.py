"""DAVANet and its parts: DeblurNet (one view) and DispBiNet (disparities of both)."""
