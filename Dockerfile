# CPU image:   docker build -t asled .
# CUDA image:  docker build -t asled-cuda --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 .
# Run:         docker run --rm -v "$PWD:/data" asled deblur wide.mov ultra.mov
# One of many: docker run --rm -v "$PWD:/data" asled batch DIR -o RESULTS --shard 1/4
ARG PYTHON=3.12
FROM python:${PYTHON}-slim

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /src
COPY pyproject.toml README.md LICENSE CHANGELOG.md constraints.txt ./
COPY asled_cli ./asled_cli
COPY weights ./weights
# torch comes from its own index, CPU or CUDA; everything else from PyPI, in the versions that were tested.
RUN grep -vE '^torch==' constraints.txt > /tmp/constraints.txt \
    && pip install --no-cache-dir --index-url "${TORCH_INDEX}" --extra-index-url https://pypi.org/simple "torch>=2.6" \
    && pip install --no-cache-dir -c /tmp/constraints.txt . \
    && useradd --create-home --uid 10001 asled \
    && rm -rf /src /tmp/constraints.txt

USER 10001
WORKDIR /data
ENTRYPOINT ["asled"]
CMD ["--help"]
