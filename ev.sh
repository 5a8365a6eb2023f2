source /work/venv/bin/activate; export OMP_NUM_THREADS=1
cd /work/kit/render
for s in valid; do
PYTHONPATH=/work/wt/render nice -n 5 asled eval --dataset synthetic --root /work/shared/data/train --split $s --methods input,auto --metrics psnr,ssim -y --cache /work/kit/render/cache_ev --out /work/kit/render/ev_${s}_a > ev_${s}_a.log 2>&1
PYTHONPATH=/work/kit/render/dis nice -n 5 asled eval --dataset synthetic --root /work/shared/data/train --split $s --methods input,auto --metrics psnr,ssim -y --cache /work/kit/render/cache_ev --out /work/kit/render/ev_${s}_b > ev_${s}_b.log 2>&1
done
