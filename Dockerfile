# The server of chainrule, in two stages: one that installs, one that runs.
#   docker build -t chainrule .
#   docker run --rm -p 127.0.0.1:50051:50051 -v chainrule-data:/data chainrule --insecure
ARG BASE=python:3.13-slim

FROM ${BASE} AS builder
# A mirror of the package index, where one is used: docker build --build-arg PIP_INDEX_URL=...
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
WORKDIR /src
RUN python3 -m venv /opt/chainrule
COPY pyproject.toml README.md LICENSE ./
# The dependencies are a layer of their own: a change of the sources does not fetch them again.
RUN mkdir -p client/chainrule server/chainrule_server \
 && touch client/chainrule/__init__.py server/chainrule_server/__init__.py \
 && /opt/chainrule/bin/pip install --no-cache-dir '.[server]' \
 && /opt/chainrule/bin/pip uninstall --yes --quiet chainrule
COPY client client
COPY server server
RUN /opt/chainrule/bin/pip install --no-cache-dir --no-deps . \
 && /opt/chainrule/bin/pip uninstall --yes --quiet pip

FROM ${BASE}
LABEL org.opencontainers.image.title="chainrule" \
      org.opencontainers.image.description="Gradients as a service" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 chainrule \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin chainrule \
 && install --directory --owner 10001 --group 10001 --mode 0700 /data
COPY --from=builder /opt/chainrule /opt/chainrule
COPY deploy/healthcheck.py /opt/chainrule/healthcheck.py
ENV PATH=/opt/chainrule/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CHAINRULE_LISTEN=0.0.0.0:50051 \
    CHAINRULE_DATA_DIR=/data
USER 10001:10001
VOLUME /data
EXPOSE 50051
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "/opt/chainrule/healthcheck.py"]
# Listening beyond loopback needs --tls-cert, --tls-key and --token-file, or --insecure.
ENTRYPOINT ["python", "-m", "chainrule_server"]
