# The operator's image: Python, the packages of requirements-operator.lock, the package `provider`. Nothing else.
# BASE is any Linux with glibc. One that has Python 3.11 or later, with venv, is left as it is; Photon gets it here.
ARG BASE=docker.io/library/photon:5.0

FROM ${BASE} AS python
RUN command -v python3 >/dev/null || { tdnf install -y python3 && tdnf clean all; }

FROM python AS packages
COPY requirements-operator.lock /tmp/
# Compiled by pip, since the file system of a container that runs is read-only. pip itself is not needed there.
RUN python3 -m venv /opt/vch \
 && /opt/vch/bin/python -m pip --disable-pip-version-check install --no-cache-dir --require-hashes -r /tmp/requirements-operator.lock \
 && /opt/vch/bin/python -m pip uninstall --yes pip setuptools
COPY provider /opt/vch/app/provider
RUN /opt/vch/bin/python -m compileall -q /opt/vch/app \
 && printf '#!/opt/vch/bin/python\nimport sys\n\nfrom provider.cli import main\n\nsys.exit(main())\n' >/opt/vch/bin/virtual-kubelet-vch \
 && chmod 755 /opt/vch/bin/virtual-kubelet-vch

FROM python
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="virtual-kubelet-vch" \
      org.opencontainers.image.description="Ordinary Kubernetes Pods, each in an instant-cloned VM of its own on vSphere" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=packages /opt/vch /opt/vch
ENV PATH=/opt/vch/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONPATH=/opt/vch/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 VCH_REVISION=${REVISION}
WORKDIR /
USER 65532:65532
# Metrics, if VCH_METRICS_ADDRESS says so; the kubelet API of each virtual node is on a port that is free.
EXPOSE 9464
ENTRYPOINT ["virtual-kubelet-vch"]
