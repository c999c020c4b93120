# The BIDS-App in a container:
#
#   docker build -t pseudohealthy .
#   docker run --rm --network none --user "$(id -u):$(id -g)" \
#     -v /study:/data:ro -v /study-derivatives:/out pseudohealthy /data /out participant
#
# The data set is mounted read-only; nothing is fetched while it runs. For clusters without Docker:
#   apptainer build pseudohealthy.sif docker-daemon://pseudohealthy:latest
FROM python:3.11-slim

# The CPU build of torch; for NVIDIA cards: --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu126,
# then `docker run --gpus all`.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# Extras: `cluster` (Dask), and `skullstrip`, without which heads with their skull need --brain-masks
ARG EXTRAS=cluster,skullstrip

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    MPLCONFIGDIR=/tmp/matplotlib

# What changes seldom first: torch stays in its layer when only the code has changed.
COPY constraints.txt /build/
RUN pip install --index-url "${TORCH_INDEX}" --constraint /build/constraints.txt torch

COPY pyproject.toml README.md LICENSE NOTICE /build/
COPY src /build/src
RUN pip install --constraint /build/constraints.txt "/build[${EXTRAS}]" && rm -rf /build

# Not root. With --user any other number will do too: nothing is written but to OUT_DIR and /tmp.
RUN useradd --create-home --uid 1000 app
USER app
WORKDIR /tmp

ENTRYPOINT ["pseudohealthy-bids"]
CMD ["--help"]
