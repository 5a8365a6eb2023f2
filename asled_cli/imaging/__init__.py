"""Operations on pictures: light curves, homographies, warps, optical flow and picture files."""
