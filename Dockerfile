# The image by a container engine: `docker build .`; `make image` makes it without one. The base images are arguments,
# for those who have their own.
ARG RUST_IMAGE=rust:1.89-bookworm
ARG NODE_IMAGE=node:22-bookworm-slim

FROM ${NODE_IMAGE} AS web
WORKDIR /palisade
COPY scripts/ui.sh scripts/ui.sh
COPY web-ui/openapi.json web-ui/openapi.json
COPY web-ui/ui web-ui/ui
RUN scripts/ui.sh build

FROM ${RUST_IMAGE} AS build
WORKDIR /palisade
COPY scripts/setup.sh scripts/setup.sh
RUN scripts/setup.sh
COPY . .
COPY --from=web /palisade/web-ui/ui/dist web-ui/ui/dist
RUN PALISADE_UI=built image/build.sh >/dev/null
# What a copy keeps of a directory is what is below it: its own mode and owner are those of whoever makes it. So all that is
# root's comes first.
RUN mkdir -p /image/base/etc/palisade /image/base/run /image/base/var/lib /image/run/palisade /image/lib/palisade \
    && chmod 770 /image/run/palisade /image/lib/palisade \
    && cp target/*/image/palisade /image/base/palisade

FROM scratch
COPY --from=build /image/base/ /
# Anybody's who is not root, by the numbers that such containers usually have; and root's, by its group.
COPY --from=build --chown=65532:0 /image/run/ /run/
COPY --from=build --chown=65532:0 /image/lib/ /var/lib/
LABEL org.opencontainers.image.title="Palisade" \
      org.opencontainers.image.description="A firewall appliance for virtual networks" \
      org.opencontainers.image.source="https://github.com/palisade-firewall/palisade" \
      org.opencontainers.image.licenses="Apache-2.0 AND (GPL-2.0-only OR BSD-2-Clause)"
# For commands in the running container.
ENV PATH=/
VOLUME ["/etc/palisade", "/run/palisade", "/var/lib/palisade"]
EXPOSE 8443/tcp
HEALTHCHECK --interval=10s --timeout=5s --retries=2 --start-period=5s CMD ["/palisade", "health"]
ENTRYPOINT ["/palisade"]
CMD ["run"]
