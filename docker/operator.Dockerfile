# The operator. Build from the top of the checkout: docker build -f docker/operator.Dockerfile -t carbonzeus-operator:0.1.0 .
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS packages
COPY requirements/operator.txt /requirements.txt
# Wheels only, each with a known hash: nothing is compiled and nothing else can slip in.
RUN python -m venv --without-pip /opt/carbonzeus \
 && python -m pip --python /opt/carbonzeus/bin/python install --no-cache-dir --disable-pip-version-check \
      --only-binary :all: --require-hashes -r /requirements.txt
COPY wire/carbonzeus_wire /opt/carbonzeus/lib/python3.11/site-packages/carbonzeus_wire
COPY operator/carbonzeus_operator /opt/carbonzeus/lib/python3.11/site-packages/carbonzeus_operator
RUN /opt/carbonzeus/bin/python -m compileall -q /opt/carbonzeus/lib

FROM ${BASE}
# What installs packages is no part of what runs.
RUN python -m pip uninstall --yes --root-user-action ignore setuptools wheel pip
COPY --from=packages /opt/carbonzeus /opt/carbonzeus
ENV PATH=/opt/carbonzeus/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
ENTRYPOINT ["python", "-m", "carbonzeus_operator"]
