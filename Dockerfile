# CPU:   docker build -t uniref .
# CUDA:  docker build -t uniref:cuda --build-arg BASE=nvidia/cuda:12.8.1-base-ubuntu24.04 \
#            --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 .
# Use:   docker run --rm --user "$(id -u):$(id -g)" -v uniref-cache:/cache -v "$PWD:/data" uniref predict clip.mp4 --text "the red car"
#        (uniref:cuda after --gpus all; the volume keeps downloaded checkpoints; the labelling page is for installations without Docker)
ARG BASE=ubuntu:24.04
FROM ${BASE}
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

# gcc and Python's headers: Triton compiles the launchers of the CUDA kernels at their first use
# hadolint ignore=DL3008
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends gcc libc6-dev python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/uniref
ENV PATH=/opt/uniref/bin:$PATH

# PyTorch first: this layer, the largest, changes least
# hadolint ignore=DL3013
RUN pip install --no-cache-dir --index-url "${TORCH_INDEX}" torch torchvision
COPY . /src
RUN pip install --no-cache-dir /src

# any user may write the caches of downloaded checkpoints and compiled kernels
ENV UNIREF_HOME=/cache/uniref HF_HOME=/cache/huggingface TRITON_CACHE_DIR=/cache/triton TORCHINDUCTOR_CACHE_DIR=/cache/inductor
RUN mkdir --mode=1777 /cache
VOLUME /cache
WORKDIR /data
ENTRYPOINT ["uniref"]
CMD ["--help"]
