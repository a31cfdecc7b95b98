# The images, one target each: operator, inference, sandbox, sandbox-scientific. `make images` builds them (docs/design/0007).
#
# The base needs Python 3.11 with venv, CA certificates and libseccomp2, which any Debian with apt has. Packages come by
# hash from requirements/; where from is the builder's setting.
ARG BASE_IMAGE=python:3.11-slim-bookworm

# --- what compiles and installs; nothing of it but /opt/rlm gets into an image
FROM ${BASE_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
COPY requirements/build.lock requirements/build.lock
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install --require-hashes -r requirements/build.lock \
 && python3 -m venv --without-pip /opt/rlm
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
COPY runtime runtime
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheel .

# The code goes in after the dependencies, and without `rlmctl`, which no image has the packages for.
FROM build AS operator-files
COPY requirements/operator.lock requirements/operator.lock
RUN /opt/build/bin/pip --python /opt/rlm/bin/python install --require-hashes -r requirements/operator.lock
RUN /opt/build/bin/pip --python /opt/rlm/bin/python install --no-deps /wheel/*.whl && rm /opt/rlm/bin/rlmctl

FROM build AS inference-files
COPY requirements/inference.lock requirements/inference.lock
RUN /opt/build/bin/pip --python /opt/rlm/bin/python install --require-hashes -r requirements/inference.lock
RUN /opt/build/bin/pip --python /opt/rlm/bin/python install --no-deps /wheel/*.whl && rm /opt/rlm/bin/rlmctl

# The guest is compiled for every CPU of the architecture, from the whole build: both sandbox images share this stage.
FROM build AS sandbox-guest
COPY requirements/sandbox.lock requirements/sandbox.lock
RUN /opt/build/bin/pip --python /opt/rlm/bin/python install --require-hashes -r requirements/sandbox.lock
RUN /opt/build/bin/pip --python /opt/rlm/bin/python install --no-deps /wheel/*.whl && rm /opt/rlm/bin/rlmctl
RUN /opt/rlm/bin/python -m runtime.sandbox.compile_guest --portable --folder /opt/rlm/guests \
 && chmod -R a+rX /opt/rlm/guests

# Packages of your own (docs/design/0010): PACKAGES="a b==1", or PACKAGES_FILE=requirements/FILE, and a NAME for pools.
# The Python that bakes is the image's; pip and packaging are the build's.
FROM sandbox-guest AS sandbox-files
RUN /opt/rlm/bin/python -m runtime.sandbox.trim_guest --stdlib
COPY requirements requirements
ARG PACKAGES=""
ARG PACKAGES_FILE=""
ARG NAME=""
ARG PRELOAD=""
ARG BASE=stdlib
RUN if [ -n "$PACKAGES$PACKAGES_FILE" ]; then \
      export PYTHONPATH="$(/opt/build/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
      && /opt/rlm/bin/python -m runtime.sandbox.baking --folder /opt/rlm/guests --packages "$PACKAGES" \
           ${PACKAGES_FILE:+--requirements "$PACKAGES_FILE"} --name "$NAME" --preload "$PRELOAD" --base "$BASE"; \
    fi

FROM sandbox-guest AS sandbox-scientific-files
RUN /opt/rlm/bin/python -m runtime.sandbox.trim_guest
COPY requirements requirements
ARG PACKAGES=""
ARG PACKAGES_FILE=""
ARG NAME=""
ARG PRELOAD=""
ARG BASE=scientific
RUN if [ -n "$PACKAGES$PACKAGES_FILE" ]; then \
      export PYTHONPATH="$(/opt/build/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
      && /opt/rlm/bin/python -m runtime.sandbox.baking --folder /opt/rlm/guests --packages "$PACKAGES" \
           ${PACKAGES_FILE:+--requirements "$PACKAGES_FILE"} --name "$NAME" --preload "$PRELOAD" --base "$BASE"; \
    fi

# --- the images: an ordinary user, nothing to write to but /tmp
FROM ${BASE_IMAGE} AS operator
ARG VERSION=0
LABEL org.opencontainers.image.title="rlm-operator/operator" \
      org.opencontainers.image.description="Reconciles RLMStack and SandboxPool resources" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=operator-files /opt/rlm /opt/rlm
ENV PATH=/opt/rlm/bin:/usr/local/bin:/usr/bin:/bin HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
ENV RLM_OPERATOR_METRICS_PORT=8080
WORKDIR /
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['RLM_OPERATOR_METRICS_PORT']), timeout=4); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["python", "-m", "rlm_operator"]

FROM ${BASE_IMAGE} AS inference
ARG VERSION=0
LABEL org.opencontainers.image.title="rlm-operator/inference" \
      org.opencontainers.image.description="Recursive Language Models behind an OpenAI-compatible endpoint" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=inference-files /opt/rlm /opt/rlm
ENV PATH=/opt/rlm/bin:/usr/local/bin:/usr/bin:/bin HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
ENV RLM_HOST=0.0.0.0 RLM_PORT=8000 RLM_METRICS_PORT=9090
WORKDIR /
USER 65532:65532
EXPOSE 8000 9090
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['RLM_METRICS_PORT']), timeout=4); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["python", "-m", "runtime.inference"]

FROM ${BASE_IMAGE} AS sandbox-service
ENV PATH=/opt/rlm/bin:/usr/local/bin:/usr/bin:/bin HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# Should the compiled guest not load, another one is compiled into the cache folder at start.
ENV SANDBOX_HOST=0.0.0.0 SANDBOX_PORT=8000 SANDBOX_METRICS_PORT=9090 SANDBOX_GUEST_DIR=/opt/rlm/guests XDG_CACHE_HOME=/tmp/cache
WORKDIR /
USER 65532:65532
EXPOSE 8000 9090
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['SANDBOX_METRICS_PORT']), timeout=4); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["python", "-m", "runtime.sandbox"]

FROM sandbox-service AS sandbox
ARG VERSION=0
LABEL org.opencontainers.image.title="rlm-operator/sandbox" \
      org.opencontainers.image.description="Runs generated Python in WebAssembly sessions over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=sandbox-files /opt/rlm /opt/rlm

FROM sandbox-service AS sandbox-scientific
ARG VERSION=0
LABEL org.opencontainers.image.title="rlm-operator/sandbox-scientific" \
      org.opencontainers.image.description="Runs generated Python with numpy, pandas and more in WebAssembly sessions over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
ENV SANDBOX_IMAGE=scientific
COPY --from=sandbox-scientific-files /opt/rlm /opt/rlm
