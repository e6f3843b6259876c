# A static binary on an empty file system.
#
# The base is pinned by version. Pinning by digest is right for a release, and belongs to whoever
# builds one: a digest written here could not be checked on a machine without an image registry.
FROM rust:1.95.0-alpine3.22 AS build
WORKDIR /src
# The image's own toolchain, whatever rust-toolchain.toml asks for in components.
ENV RUSTUP_TOOLCHAIN=1.95.0
COPY Cargo.toml Cargo.lock ./
COPY src ./src
# Not built here, but Cargo.toml names tests and a bench, and cargo wants their files.
COPY tests ./tests
COPY benches ./benches
# Alpine's target is musl, so the binary is static on every architecture this stage runs on.
RUN cargo build --release --locked --bin anthropic-rbac
# A dynamic binary would not start on an empty file system: better to fail here.
RUN ! readelf --program-headers target/release/anthropic-rbac | grep -q INTERP

FROM scratch
# No certificate store: the operator speaks only to the API server, whose CA comes with the
# ServiceAccount's token. No shell and no /etc/passwd either, hence a numeric user.
COPY --from=build /src/target/release/anthropic-rbac /anthropic-rbac
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/anthropic-rbac"]
CMD ["--help"]
