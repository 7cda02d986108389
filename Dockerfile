# The locked environment and the sources, for clusters and clouds. How to build and use it: docs/clusters.md.
FROM python:3.11-slim

RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*

# Packages first: they change less often than the sources.
WORKDIR /orderdp
COPY requirements.lock ./
RUN pip install --no-cache-dir --disable-pip-version-check -r requirements.lock

COPY pyproject.toml setup.py README.md LICENSE Makefile Snakefile params.yaml dvc.yaml ./
COPY orderdp orderdp
COPY workflow workflow
COPY profiles profiles
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps --editable . \
    && useradd --create-home --uid 1000 orderdp \
    && chown --recursive orderdp /orderdp

USER orderdp
ENTRYPOINT ["snakemake"]
CMD ["--cores", "all"]
