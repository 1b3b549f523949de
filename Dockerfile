# syntax=docker/dockerfile:1
# The `tidings` program: every role is this image with another command.

FROM rust:1.95-bookworm AS build
# What librdkafka is built with.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libssl-dev zlib1g-dev pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
# The caches stay with the builder; what is wanted of them is copied out.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin tidings \
    && cp target/release/tidings /usr/local/bin/tidings

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin tidings
COPY --from=build /usr/local/bin/tidings /usr/local/bin/tidings
USER 10001:10001
# A container's own loopback is reached by nobody.
ENV TIDINGS_GATEWAY__LISTEN=0.0.0.0:8080 TIDINGS_LOG__FORMAT=json
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 \
    CMD ["tidings", "healthcheck", "http://127.0.0.1:8080/readyz"]
ENTRYPOINT ["tidings"]
CMD ["--help"]
