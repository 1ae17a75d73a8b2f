# weir as an image: one program, no root. BuildKit, the builder of any Docker since 23, keeps what was compiled
# between builds.
#
#   docker build --tag weir:0.1.0 .
#   docker run --rm --publish 127.0.0.1:8080:8080 weir:0.1.0 \
#     demo --topology /etc/weir --data /var/lib/weir/demo --listen 0.0.0.0:8080

FROM rust:1.91.1-slim-bookworm AS build
# OpenSSL's and librdkafka's own builds need these
RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++ make perl \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# the workspace is read whole, so that its lock file holds
COPY Cargo.toml Cargo.lock ./
COPY benches benches
COPY judge judge
COPY load-tests load-tests
COPY schemas schemas
COPY src src
# names of functions stay, so that a panic can be read; lines and types go
ENV CARGO_PROFILE_RELEASE_DEBUG=none CARGO_PROFILE_RELEASE_STRIP=debuginfo CARGO_INCREMENTAL=0
# a cache is no part of the image, so the program is taken out of it within the same step
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --locked --release --package weir --bin weir \
 && install -D target/release/weir /out/weir

FROM debian:12.15-slim
# webhooks, registries and brokers with public certificates
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 weir \
 && useradd --uid 10001 --gid weir --no-create-home --home-dir /var/lib/weir --shell /usr/sbin/nologin weir \
 && install --directory --owner weir --group weir --mode 0750 /var/lib/weir
COPY topology /etc/weir
COPY --chmod=0755 deploy/image/weir-ready /usr/local/bin/weir-ready
COPY --from=build /out/weir /usr/local/bin/weir
# by number: Kubernetes proves runAsNonRoot by it
USER 10001:10001
WORKDIR /var/lib/weir
EXPOSE 8080
STOPSIGNAL SIGTERM
# no HEALTHCHECK here: a process without the role "api" has no server to ask. docker-compose.yml has one.
ENTRYPOINT ["/usr/local/bin/weir"]
CMD ["run", "--topology", "/etc/weir", "--data", "/var/lib/weir"]
