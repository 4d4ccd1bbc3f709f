# The node agent. Build from the top of the checkout: docker build -f docker/agent.Dockerfile -t carbonzeus-agent:0.1.0 .
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS packages
COPY requirements/agent.txt /requirements.txt
# Wheels only, each with a known hash: nothing is compiled and nothing else can slip in.
RUN python -m venv --without-pip /opt/carbonzeus \
 && python -m pip --python /opt/carbonzeus/bin/python install --no-cache-dir --disable-pip-version-check \
      --only-binary :all: --require-hashes -r /requirements.txt
COPY wire/carbonzeus_wire /opt/carbonzeus/lib/python3.11/site-packages/carbonzeus_wire
COPY agent/carbonzeus_agent /opt/carbonzeus/lib/python3.11/site-packages/carbonzeus_agent
RUN /opt/carbonzeus/bin/python -m compileall -q /opt/carbonzeus/lib

FROM ${BASE}
# What installs packages is no part of what runs.
RUN python -m pip uninstall --yes --root-user-action ignore setuptools wheel pip
COPY --from=packages /opt/carbonzeus /opt/carbonzeus
ENV PATH=/opt/carbonzeus/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# The NVIDIA container runtime brings the driver's libnvidia-ml.so.1, as the chart asks with the same two variables.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=utility
# Root, since the driver lets nobody else set a power limit. The chart takes away every capability but SYS_ADMIN.
USER 0:0
ENTRYPOINT ["python", "-m", "carbonzeus_agent"]
